// Redaction on the bytes of a request, in one pass. What nobody has to change is copied as it came.
import { FIELD } from "../otlp/field-index.ts";
import { WIRE } from "../otlp/wire.ts";
import { AttributeScrub, type AttributeRules } from "./scrub-attributes.ts";
import { ScrubPass } from "./scrub-pass.ts";
import { ACTION, type Plan, TRACE_PLAN } from "./scrub-plan.ts";
import { createWords, REDACT_BOUNDS, type RedactCounts } from "./scrub-words.ts";

/** What passes, and what becomes of hits. */
export interface ScrubRules extends AttributeRules {
  readonly action: "drop" | "mask";
}

/** A request without what must not pass. */
export interface Scrubbed {
  readonly bytes: Buffer;
  readonly spans: number;
  readonly counts: RedactCounts;
}

/** Scrubs an `ExportTraceServiceRequest` in protobuf. Throws INPUT_INVALID when the bytes are none. */
export function scrubWire(bytes: Buffer, rules: ScrubRules): Scrubbed {
  const words = createWords(rules.action);
  const pass = new ScrubPass(bytes, words);
  const scrub = new WireScrub(pass, rules);
  const scrubbed = scrub.request();
  if (pass.index.unknownFields > 0) words.count("unknown_field", pass.index.unknownFields);
  return { bytes: scrubbed, spans: scrub.spans, counts: words.counts };
}

/** What was seen of one message so far. */
interface Seen {
  attributes: number;
  events: number;
  links: number;
  /** Left out by somebody before us, and by us: attributes, events, links. */
  readonly dropped: [number, number, number];
}

const TRACE_ID_BYTES = 16;
const SPAN_ID_BYTES = 8;
const SCHEMA_URL = /^https:\/\/opentelemetry\.io\/schemas\/\d{1,3}\.\d{1,3}\.\d{1,3}$/;
const MAX_COUNT = 0xffff_ffff;

class WireScrub {
  readonly #pass: ScrubPass;
  readonly #attributes: AttributeScrub;
  spans = 0;

  constructor(pass: ScrubPass, rules: AttributeRules) {
    this.#pass = pass;
    this.#attributes = new AttributeScrub(pass, rules);
  }

  request(): Buffer {
    const { length } = this.#pass.bytes;
    this.#fields(TRACE_PLAN, 0, length, 0);
    return this.#pass.splice.finish(length);
  }

  /** A message in a field: whether it stays; if not it is left out. */
  #message(plan: Plan, record: number, depth: number): boolean {
    const { index, splice } = this.#pass;
    const place = splice.place(index.at(record));
    const bodyPlace = this.#pass.open(record);
    const kept = this.#fields(plan, index.body(record), index.end(record), depth);
    if (kept) this.#pass.close(record, bodyPlace);
    else splice.drop(index.at(record), index.end(record), place);
    return kept;
  }

  #fields(plan: Plan, start: number, end: number, depth: number): boolean {
    const { index } = this.#pass;
    const first = index.read(start, end, plan.table, depth);
    const { top } = index;
    const kept = this.#isFound(plan, first);
    const seen: Seen = { attributes: 0, events: 0, links: 0, dropped: [0, 0, 0] };
    for (let record = first; record < top; record += 1) {
      if (kept && index.live(record) !== 0) this.#field(plan, record, seen, depth);
      else this.#pass.cutChecked(plan.message, record, depth);
    }
    index.top = first;
    if (kept) this.#writeDropped(plan, seen, end);
    return kept;
  }

  #field(plan: Plan, record: number, seen: Seen, depth: number): void {
    const number = this.#pass.index.flags(record) & FIELD.number;
    const action: number = plan.actions[number] ?? ACTION.cut;
    switch (action) {
      case ACTION.attribute:
        return this.#attribute(plan, record, seen, depth);
      case ACTION.keep:
        return void this.#pass.open(record);
      case ACTION.text:
        return void this.#pass.text(record);
      case ACTION.enum:
        return this.#enum(record);
      case ACTION.dropped:
        return this.#dropped(plan, record, seen);
      case ACTION.parentId:
        return this.#parentId(record);
      case ACTION.traceState:
        return this.#withhold(plan, record, "trace_state", depth);
      default:
        return this.#rest(plan, record, seen, depth);
    }
  }

  #rest(plan: Plan, record: number, seen: Seen, depth: number): void {
    const number = this.#pass.index.flags(record) & FIELD.number;
    const child = plan.children[number] ?? plan;
    const action: number = plan.actions[number] ?? ACTION.cut;
    switch (action) {
      case ACTION.message:
        return void this.#message(child, record, depth + 1);
      case ACTION.span:
        if (this.#message(child, record, depth + 1)) this.spans += 1;
        return;
      case ACTION.event:
        seen.events += 1;
        if (seen.events <= REDACT_BOUNDS.events)
          return void this.#message(child, record, depth + 1);
        seen.dropped[1] += 1;
        break;
      case ACTION.link:
        seen.links += 1;
        if (seen.links <= REDACT_BOUNDS.links) return void this.#message(child, record, depth + 1);
        seen.dropped[2] += 1;
        break;
      case ACTION.schemaUrl:
        return this.#schemaUrl(record);
      case ACTION.statusMessage:
        return this.#withhold(plan, record, "status_message", depth);
      default:
    }
    this.#pass.cutChecked(plan.message, record, depth);
  }

  #attribute(plan: Plan, record: number, seen: Seen, depth: number): void {
    if (seen.attributes === REDACT_BOUNDS.attributes) {
      this.#pass.words.count("too_many");
      this.#pass.cutChecked(plan.message, record, depth);
      seen.dropped[0] += 1;
    } else if (this.#attributes.attribute(record, depth + 1)) seen.attributes += 1;
    else seen.dropped[0] += 1;
  }

  /** A span or a link whose ids are none cannot be found by anybody, and an id is no place for text. */
  #isFound({ ids }: Plan, first: number): boolean {
    if (ids === undefined) return true;
    const { index } = this.#pass;
    let found = 0;
    for (let record = first; record < index.top; record += 1) {
      const number = index.live(record);
      if (number === ids.trace && this.#isId(record, TRACE_ID_BYTES)) found += 1;
      else if (number === ids.span && this.#isId(record, SPAN_ID_BYTES)) found += 1;
    }
    if (found < 2) this.#pass.words.count("invalid_id");
    return found === 2;
  }

  #isId(record: number, length: number): boolean {
    const { bytes, index } = this.#pass;
    const start = index.body(record);
    const end = index.end(record);
    if (end - start !== length) return false;
    for (let at = start; at < end; at += 1) if (bytes[at] !== 0) return true;
    return false;
  }

  #parentId(record: number): void {
    if (this.#isId(record, SPAN_ID_BYTES)) this.#pass.open(record);
    else this.#pass.cut(record);
  }

  #enum(record: number): void {
    const { index } = this.#pass;
    if (index.end(record) - index.body(record) === 1 && !index.isLoose(record)) return;
    const value = this.#pass.varint(record);
    const narrow = BigInt.asUintN(64, BigInt.asIntN(32, value));
    if (narrow !== value || index.isLoose(record)) this.#pass.putVarint(record, narrow);
  }

  #schemaUrl(record: number): void {
    const url = this.#pass.read(record);
    if (url === "" || SCHEMA_URL.test(url)) return void this.#pass.open(record);
    this.#pass.words.count("schema_url");
    this.#pass.cut(record);
  }

  /** Free text of others that no key allows. */
  #withhold(
    plan: Plan,
    record: number,
    kind: "trace_state" | "status_message",
    depth: number,
  ): void {
    const { index, words } = this.#pass;
    if (index.end(record) > index.body(record)) words.count(kind);
    this.#pass.cutChecked(plan.message, record, depth);
  }

  #dropped({ dropped }: Plan, record: number, seen: Seen): void {
    const number = this.#pass.index.flags(record) & FIELD.number;
    const which = dropped.indexOf(number) as 0 | 1 | 2;
    seen.dropped[which] += Number(BigInt.asUintN(32, this.#pass.varint(record)));
    this.#pass.cut(record);
  }

  /** Counts stop at what their field can hold. */
  #writeDropped({ dropped }: Plan, seen: Seen, end: number): void {
    for (let which = 0; which < dropped.length; which += 1) {
      const count = seen.dropped[which] as number;
      if (count === 0) continue;
      const tag = (dropped[which] as number) * 8 + WIRE.varint;
      this.#pass.splice.replaceVarint(end, end, tag);
      this.#pass.splice.replaceVarint(end, end, Math.min(MAX_COUNT, count));
    }
  }
}

// What emitters send, as OTLP protobuf: sealed decisions of about 1.6 KB with the attributes that the shipper copies for routing.
import {
  type Chain,
  draftDecision,
  eventTime,
  GENESIS,
  seal,
  type SealedEvent,
  uuidv7,
} from "../../../packages/model/src/index.ts";
import { encodeRecord, encodeRequest } from "../../../packages/journal/src/ship/otlp-logs.ts";
import { decodeJson } from "../../../packages/processor/src/otlp/decode-json.ts";
import { encodeProto } from "../../../packages/processor/src/otlp/encode-proto.ts";
import { LOGS_REQUEST } from "../../../packages/processor/src/otlp/message.ts";

const START_MS = Date.UTC(2026, 10, 22, 9);
const EMITTERS = 16;
const TOOLS = ["read_ticket", "close_ticket", "search_tickets", "write_file", "query_database"];

/** `bodies` requests of `size` events; each request is one emitter's, whose chain goes on from one to its next. */
export function requestBodies(bodies: number, size: number): Buffer[] {
  const chains = new Map<number, Chain>();
  return Array.from({ length: bodies }, (_, body) => {
    const number = body % EMITTERS;
    const emitter = `tickets-${String(number).padStart(16, "0")}`;
    const epoch = number.toString(16).padStart(32, "5");
    let chain = chains.get(number) ?? { emitter, epoch, seq: 0, prev: GENESIS };
    const records = Array.from({ length: size }, (__, at) => {
      const event = sealed(chain, body * size + at);
      chain = { ...chain, seq: chain.seq + 1, prev: event.hash };
      return encodeRecord(event.bytes);
    });
    chains.set(number, chain);
    const resource = {
      service: { name: "tickets", version: "3.2.1" },
      emitter,
      tenant: "acme",
      producer: "0.1.0",
    };
    const json = encodeRequest(records, resource as never, START_MS);
    return encodeProto(decodeJson<object>(Buffer.from(json), LOGS_REQUEST).value, LOGS_REQUEST);
  });
}

function sealed(chain: Chain, at: number): SealedEvent {
  const subject = `auth0|5f7c8ec7c33c6c004bb${String(at % 4096).padStart(5, "0")}`;
  const allow = at % 16 !== 0;
  const draft = draftDecision({
    id: uuidv7(),
    tenant: "acme",
    mode: "enforce",
    nameKnown: true,
    durationUs: 3120 + at,
    decision: allow ? "allow" : "deny",
    reason: allow ? "permitted" : "forbidden",
    effect: allow ? "run" : "block",
    call: {
      method: "tools/call",
      name: TOOLS[at % TOOLS.length] as string,
      transport: "stdio",
      gate: "in_process",
      requestId: String(at),
      protocolVersion: "2026-07-28",
    },
    human: {
      issuer: "https://idp.example/realms/acme",
      subject,
      assurance: "bearer",
      method: "bearer",
      authTime: "2026-11-22T08:41:12.000Z",
    },
    agent: { claimed: { name: "support-agent", version: "1.4.0" } },
    checks: [
      {
        permission: "read",
        verdict: allow ? "allow" : "deny",
        engine: "spicedb",
        resource: { type: "ticket", id: `T-${at}` },
        subject: { type: "user", id: subject },
        durationUs: 900 + (at % 900),
        consistencyToken: "GhUKEzE3OTUzNDQwMDAwMDAwMDAwMDA=",
      },
    ],
    server: { id: "urn:mcp:tickets", name: "tickets", version: "3.2.1" },
    policy: { digest: `sha256:${"ab".repeat(32)}`, rule: "tools.read_ticket" },
    traceparent: `00-${"4b".repeat(16)}-${"53".repeat(8)}-01`,
  } as never);
  return seal(draft, chain, eventTime(START_MS + at));
}

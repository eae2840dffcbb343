import type { LoginSummary } from "@countersign/identity/login";
import { type DecisionSummary, decisionLine } from "../decision-line.ts";
import { shown, table, type Terminal } from "../terminal.ts";
import type { Verdicts } from "./verdicts.ts";

/** Says what happens during `start`: text for people, JSON lines for scripts. */
export interface Reporter {
  /** What is being done; only where a person looks. */
  progress(text: string): void;
  /** Something that the person should know, said always, on stderr. */
  note(text: string): void;
  /** Who has logged in, where, with which key. */
  login(login: LoginSummary): void;
  decision(decision: DecisionSummary): void;
  /** The last word of a run that stays up. */
  page(url: string): void;
  /** The last word of a run that ends. */
  kept(directory: string): void;
  summary(verdicts: Verdicts, archived: Archived): void;
}

/** How many events the archive got from this run, and how many it must have got. */
export interface Archived {
  readonly events: number;
  readonly expected: number;
}

/** @param json JSON lines on stdout instead of text. */
export function createReporter(terminal: Terminal, json: boolean): Reporter {
  return json ? new JsonReporter(terminal) : new TextReporter(terminal);
}

class TextReporter implements Reporter {
  readonly #terminal: Terminal;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  progress(text: string): void {
    if (this.#terminal.interactive) this.#terminal.err(`· ${text}`);
  }

  note(text: string): void {
    this.#terminal.err(text);
  }

  login({ subject, issuer, binding, key }: LoginSummary): void {
    const line = `${subject} has logged in at ${issuer}: binding ${binding}, key ${key.thumbprint}`;
    this.#terminal.out(shown(line));
  }

  decision(decision: DecisionSummary): void {
    this.#terminal.out(decisionLine(decision));
  }

  page(url: string): void {
    this.#terminal.out(`\nThe page: ${url}`);
    this.#terminal.err("Ctrl-C ends it.");
  }

  kept(directory: string): void {
    this.#terminal.out(`Kept in ${directory}: archive, out (what a SIEM gets), logs.`);
  }

  summary(verdicts: Verdicts, archived: Archived): void {
    const { allow, deny, unmapped, errors, wrong } = verdicts;
    const rows: [string, string][] = [
      ["allow", String(allow)],
      ["deny", String(deny)],
      ["unmapped", String(unmapped)],
      ["errors", String(errors)],
      ["events archived", `${archived.events}`],
    ];
    this.#terminal.out("");
    for (const line of table(rows)) this.#terminal.out(line);
    if (archived.events < archived.expected) {
      this.#terminal.err(
        `${archived.expected - archived.events} events did not reach the archive in time`,
      );
    }
    for (const line of wrong) this.#terminal.err(`not as expected: ${line}`);
    if (wrong.length === 0) this.#terminal.out("Every verdict was the expected one.");
  }
}

class JsonReporter implements Reporter {
  readonly #terminal: Terminal;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  progress(): void {}

  note(text: string): void {
    this.#terminal.err(text);
  }

  login({ subject, issuer, binding, key, assurance }: LoginSummary): void {
    this.#print("login", { subject, issuer, binding, key: key.thumbprint, assurance });
  }

  decision(decision: DecisionSummary): void {
    this.#print("decision", decision);
  }

  page(url: string): void {
    this.#print("page", { url });
  }

  kept(directory: string): void {
    this.#print("kept", { directory });
  }

  summary({ wrong, ...counts }: Verdicts, archived: Archived): void {
    this.#print("summary", { ...counts, archived: archived.events, ok: wrong.length === 0, wrong });
  }

  #print(type: string, body: object): void {
    this.#terminal.out(JSON.stringify({ type, ...body }));
  }
}

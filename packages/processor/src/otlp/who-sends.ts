// Who sends a request: nobody asks on loopback, elsewhere a token or a certificate says it.
import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import type { SentBy } from "@countersign/pipeline";
import type { Clients } from "../credentials.ts";
import type { TokenCheck } from "../extensions/bearer-auth.ts";
import { asksForLoopback } from "../listen.ts";
import { subjectOf } from "../tls.ts";
import { FAULTS, type FaultName, RequestFault } from "./http-fault.ts";

/** Asks every request who sends it. Throws a `RequestFault`. */
export type WhoSends = (request: IncomingMessage) => SentBy | undefined;

/** How a receiver knows its senders. */
export interface WhoSendsOptions {
  readonly tokens?: TokenCheck;
  /** Senders show a certificate of our authorities. */
  readonly isMutualTls: boolean;
  /** Whose certificates they are, as the file says now. */
  readonly clients: () => Clients | undefined;
}

/** The question for a receiver. */
export function whoSends({ tokens, isMutualTls, clients }: WhoSendsOptions): WhoSends {
  if (tokens === undefined && !isMutualTls) return nobodyAsks;
  return (request) => {
    const subject = isMutualTls ? subjectShown(request) : undefined;
    if (tokens !== undefined) return byToken(tokens, request);
    const known = clients();
    if (known === undefined) return undefined;
    const sentBy = known.get(subject as string);
    if (sentBy === undefined) throw refused("certificateUnknown");
    return sentBy;
  };
}

function nobodyAsks(request: IncomingMessage): undefined {
  if (!asksForLoopback(request)) throw refused("foreignHost");
}

function byToken(tokens: TokenCheck, request: IncomingMessage): SentBy {
  const verdict = tokens.check(request);
  if ("sentBy" in verdict) return verdict.sentBy;
  if (verdict.refused === "too_many_failures")
    throw new RequestFault({ ...FAULTS.tooManyFailures, retryAfterMs: verdict.retryAfterMs });
  throw refused(verdict.refused === "no_token" ? "noToken" : "unknownToken");
}

interface Shown {
  readonly subject: string;
  readonly notAfterMs: number;
}

const shown = new WeakMap<TLSSocket, Shown>();

/** The subject of a certificate that our authorities vouch for, now: a connection may outlive it. */
function subjectShown({ socket }: IncomingMessage): string {
  if (!(socket instanceof TLSSocket)) throw refused("noCertificate");
  let known = shown.get(socket);
  if (known === undefined) {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) throw refused("noCertificate");
    if (!socket.authorized) {
      const isOld = String(socket.authorizationError) === "CERT_HAS_EXPIRED";
      throw refused(isOld ? "certificateExpired" : "certificateRefused");
    }
    known = { subject: subjectOf(certificate), notAfterMs: Date.parse(certificate.validTo) };
    shown.set(socket, known);
  }
  if (Date.now() > known.notAfterMs) throw refused("certificateExpired");
  return known.subject;
}

function refused(name: FaultName): RequestFault {
  return new RequestFault(FAULTS[name]);
}

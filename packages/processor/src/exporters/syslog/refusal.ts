// What a failed connection means.
import { CountersignError } from "@countersign/model";
import { awayBy, haltedBy, type SinkHealth } from "../http-failure.ts";

/** OpenSSL's alerts of a receiver that refuses our certificate, or wants one. */
const REFUSES_US =
  /^ERR_SSL_(?:SSL\/|TLSV1_?|TLSV13_?|SSLV3_?)?(?:TLS_)?ALERT_(?:CERTIFICATE_|BAD_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|NO_CERTIFICATE|UNSUPPORTED_CERTIFICATE|HANDSHAKE_FAILURE|DECRYPT_ERROR)/;
const NOT_TRUSTED = /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA)/;

/** The failure of a delivery. Messages have a code of the system and nothing else of the cause. */
export function refusalOf(cause: unknown, health: SinkHealth): CountersignError {
  const code = codeOf(cause);
  const told = { cause };
  if (code === "CERT_HAS_EXPIRED")
    return haltedBy(health, "the receiver's certificate has expired; renew it", told);
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return haltedBy(
      health,
      "the receiver's certificate is for another name; check `endpoint`, or set `tls.server_name`",
      told,
    );
  if (NOT_TRUSTED.test(code))
    return haltedBy(
      health,
      `the receiver's certificate is not trusted (${code}); check \`tls.ca\``,
      told,
    );
  if (REFUSES_US.test(code))
    return haltedBy(
      health,
      `the receiver refuses our certificate, or wants one (${code}); check \`tls.cert\` and \`tls.key\``,
      told,
    );
  if (code.startsWith("ERR_SSL_") || code === "EPROTO")
    return haltedBy(health, `no TLS with the receiver (${code}); check \`transport\``, told);
  return awayBy(health, UNSURE[code] ?? `cannot reach the receiver, or it hung up (${code})`, told);
}

const UNSURE: Readonly<Record<string, string>> = {
  CLOSED_EARLY:
    "the receiver closed the connection before it had read everything; if it always does, see its own log: it may not let us in",
  DELIVERY_TIMEOUT:
    "the receiver has not read everything in time, or does not close when it has; the latter needs `confirm: drain`",
  ENOTFOUND: "the receiver's name is not known (ENOTFOUND); check DNS",
};

function codeOf(cause: unknown): string {
  const { code } = (cause ?? {}) as { code?: unknown };
  return typeof code === "string" && /^[A-Z0-9_/]{1,80}$/.test(code) ? code : "no answer";
}

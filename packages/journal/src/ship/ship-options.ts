/** Where sealed events go. */
export interface ShipOptions {
  /** Base URL of an OTLP/HTTP receiver, `http:` or `https:`; `/v1/logs` is added. */
  readonly endpoint: string;
  /** Sent with every request, for instance `authorization`. Never logged. */
  readonly headers?: Readonly<Record<string, string>>;
  /** For `https:`. Absent: the authorities that Node trusts, and no client certificate. */
  readonly tls?: ShipTls;
}

/** PEM files, read again every 10 s. A certificate and its key come together. */
export interface ShipTls {
  /** Authorities of the receiver's certificate, instead of those that Node trusts. */
  readonly caFile?: string;
  /** Who the sender is (mTLS). */
  readonly certFile?: string;
  readonly keyFile?: string;
}

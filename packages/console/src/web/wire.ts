// What the API sends. The server checks that it sends this (api.ts); the page trusts the shape and nothing else:
// every string in it may have been chosen by an attacker.

interface HumanView {
  readonly issuer: string;
  readonly subject: string;
  readonly assurance: string;
}

interface OutcomeView {
  readonly status: string;
  readonly durationUs: number;
  readonly rpcCode?: number;
}

export interface RowView {
  readonly position: number;
  readonly id: string;
  readonly time: string;
  readonly decision: string;
  readonly reason: string;
  readonly mode: string;
  readonly effect: string;
  readonly method: string;
  readonly name?: string;
  readonly nameWithheld?: true;
  readonly server: string;
  readonly serverName?: string;
  readonly emitter?: string;
  readonly human?: HumanView;
  readonly agent?: { readonly id?: string; readonly claimed?: string };
  readonly check?: {
    readonly permission: string;
    readonly type: string;
    readonly id: string;
    readonly verdict: string;
  };
  readonly checks: number;
  readonly list?: { readonly offered: number; readonly shown: number };
  readonly traceId?: string;
  readonly durationUs: number;
  readonly outcome?: OutcomeView;
}

export interface DecisionPageView {
  readonly rows: readonly RowView[];
  readonly next?: string;
  /** How far the index is, and how long the log. */
  readonly indexed: number;
  readonly size: number;
}

export interface ObjectView {
  readonly type: string;
  readonly id: string;
}

export interface CheckView {
  readonly permission: string;
  readonly resource: ObjectView;
  readonly subject: ObjectView;
  readonly verdict: string;
  readonly reason?: string;
  readonly engine: string;
  readonly consistencyToken?: string;
  readonly expiresAt?: string;
  readonly contextKeys?: readonly string[];
  readonly durationUs: number;
}

export interface LinkView {
  readonly state: string;
  readonly position?: number;
  readonly kind?: string;
}

interface ChainView {
  readonly emitter: string;
  readonly epoch: string;
  readonly seq: number;
  readonly prev: string;
  readonly before: LinkView;
  readonly after: LinkView;
}

/** What ties a decision to a login: the thumbprint of its key, the id of the proof, the hash of the token. */
export interface BindingView {
  readonly jkt?: string;
  readonly jti?: string;
  readonly tokenSha256?: string;
}

export interface EventView {
  readonly id: string;
  readonly source: string;
  readonly time: string;
  readonly traceparent?: string;
  readonly data: {
    readonly tenant: string;
    readonly evidence: string;
    readonly mode: string;
    readonly call: {
      readonly method: string;
      readonly name?: string;
      readonly nameWithheld?: true;
      readonly transport: string;
      readonly gate: string;
      readonly protocolVersion?: string;
      readonly requestId?: string;
    };
    readonly human?: HumanView & {
      readonly method: string;
      readonly authTime?: string;
      readonly binding?: BindingView;
    };
    readonly agent?: {
      readonly id?: string;
      readonly claimed?: { readonly name?: string; readonly version?: string };
      readonly actors?: readonly { readonly issuer: string; readonly subject: string }[];
    };
    readonly checks?: readonly CheckView[];
    readonly server: { readonly id: string; readonly name?: string; readonly version?: string };
    readonly policy: { readonly digest: string; readonly rule?: string };
    readonly durationUs: number;
  };
}

export interface DetailView {
  readonly row: RowView;
  readonly event: EventView;
  readonly hash: string;
  readonly chain?: ChainView;
}

export interface SpanView {
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: string;
  readonly service?: string;
  readonly startUs: number;
  readonly durationUs: number;
  readonly status: string;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

export interface TraceView {
  /** False: this console has nowhere to look for spans. */
  readonly source: boolean;
  readonly spans: readonly SpanView[];
}

export interface StatsView {
  readonly bucketMs: number;
  readonly buckets: readonly {
    readonly startMs: number;
    readonly allow: number;
    readonly deny: number;
    readonly error: number;
  }[];
}

export interface FindingView {
  readonly position: number;
  readonly id: string;
  readonly time: string;
  readonly data: {
    readonly tenant: string;
    readonly finding: string;
    readonly of: {
      readonly emitter?: string;
      readonly epoch?: string;
      readonly seq?: number;
      readonly id?: string;
      readonly source?: string;
    };
    readonly missing?: { readonly what: string; readonly from: number; readonly to: number };
  };
}

export interface FindingsView {
  readonly total: number;
  /** The newest. */
  readonly findings: readonly FindingView[];
}

export interface OutcomeNoticeView {
  readonly decisionId: string;
  readonly outcome: OutcomeView;
}

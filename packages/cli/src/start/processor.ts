/** The processor of the demonstration. */
export interface DemoProcessor {
  /** Base address of its OTLP/HTTP receiver. */
  readonly otlp: string;
  /** Address of its page, with the token. */
  readonly page: string;
  /** What the person should know: ports that are not the usual ones. */
  readonly notes: readonly string[];
  stop(): Promise<void>;
}

/** Where it keeps things, and what the environment says. */
export interface DemoProcessorOptions {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Starts it. */
export async function startProcessor(_options: DemoProcessorOptions): Promise<DemoProcessor> {
  throw new Error("processor not here yet");
}

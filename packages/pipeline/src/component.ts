/** A part of the service with a life. */
export interface Component {
  /** Resolves when it works. A rejection keeps the service from starting; `stop` is called all the same. */
  start(signal: AbortSignal): Promise<void>;
  /** Refuses what is new, drains, releases. Gives up when `deadline` aborts. Safe to repeat, legal before `start`. */
  stop(deadline: AbortSignal): Promise<void>;
}

import type { SealedEvent } from "@countersign/model";

/** Turns an event into what a destination wants. Pure and versioned: the same event gives the same object. */
export interface Format {
  /** `ecs@9.4.0+1`: the destination's version, and ours of the mapping. */
  readonly version: string;
  /** `json`: a line is one JSON object, and stands as it is where JSON may stand. `text`: it is text, and has to be quoted there. */
  readonly shape: "json" | "text";
  /** One line without a newline; undefined when the format has no place for this kind of event. Throws INPUT_INVALID when the result is not valid. */
  line(event: SealedEvent): Uint8Array | undefined;
}

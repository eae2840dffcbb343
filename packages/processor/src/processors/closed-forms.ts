// Our own attributes whose value is one number in a form of its own. What has exactly that form is no text of anybody's, whatever
// its digits spell: one UUID in 300 and one SHA-256 in 150 passes for a card.
import { ATTR_EVENT_ID, ATTR_POLICY_DIGEST } from "@countersign/model";

/** A form that passes unscanned. */
export interface ClosedForm {
  readonly form: RegExp;
}

/** By attribute. Event ids are UUIDs of version 7, of span evidence 8. */
export const CLOSED_FORMS: ReadonlyMap<string, ClosedForm> = new Map([
  [
    ATTR_EVENT_ID,
    { form: /^[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/ },
  ],
  [ATTR_POLICY_DIGEST, { form: /^sha256:[0-9a-f]{64}$/ }],
]);

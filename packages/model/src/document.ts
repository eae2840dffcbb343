/** Placeholder. */
export const MAX_DOCUMENT_BYTES = 1_048_576;

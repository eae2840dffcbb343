/**
 * What must appear nowhere: a card number (the payment industry's test number), an e-mail address (a reserved domain) and a
 * made-up key in a provider's form. The scenario sends them as arguments and gets them back as results; a test then
 * searches everything that the run left behind.
 */
export const PLANTED = {
  card: "4111 1111 1111 1111",
  email: "card.holder.4711@shop.example",
  apiKey: "sk-proj-Zp4mT9wQ2xL7vB1nR6cK8dF3hJ5sY0aG",
} as const;

/** One sentence that holds all three. */
export const PLANTED_TEXT: string = `Paid with ${PLANTED.card}, write to ${PLANTED.email}, key ${PLANTED.apiKey}`;

/** The refusal of card numbers in texts that a request gives to be kept. */
import type { Context } from "hono";
import type { App } from "../../context";
import { problem, type Violation } from "../../http/problem";
import { pointer } from "../../route";
import { holdsCardNumber } from "../card-number";

/** What may hold one by mistake. `reference` and `order_id` are no part of it: what an order is called must not be refused by chance. */
export interface SearchedTexts {
  readonly metadata?: Readonly<Record<string, string>> | null;
  readonly description?: string | null;
  /** Why: of a refund, a cancellation or a failure. */
  readonly reason?: string | null;
  readonly message?: string | null;
  /** Why a person has done with a reconciliation item. */
  readonly resolution?: string | null;
  /** Who has no token of the provider's may take the number for one. */
  readonly payment_method?: string | null;
}

const MESSAGE = "Must not hold a card number";
/** A pointer would repeat the name, and so the number, in the answer. */
const NAME_MESSAGE = "The name: Must not hold a card number";

const TEXTS = [
  "description",
  "payment_method",
  "reason",
  "message",
  "resolution",
] as const satisfies (keyof SearchedTexts)[];

/** What the API document shows of the problem. */
export const CARD_NUMBER = {
  card_number_refused: { errors: [{ detail: MESSAGE, pointer: "#/metadata/note" }] },
};

/**
 * The problem when a valid body has a card number in a text, or null. A kind of its own, and no part of the schemas: whether it is
 * one is for the operator to say (REFUSE_CARD_NUMBERS), and what a caller does about it is to look for a leak of its own.
 * The answer names the fields and never repeats the number.
 */
export function refuseCardNumbers(c: Context<App>, texts: SearchedTexts): Response | null {
  if (c.env.REFUSE_CARD_NUMBERS === "no") return null;
  const errors: Violation[] = [];
  for (const name of TEXTS) {
    if (holdsCardNumber(texts[name] ?? "")) errors.push({ detail: MESSAGE, pointer: pointer([name]) });
  }
  for (const [name, value] of Object.entries(texts.metadata ?? {})) {
    if (holdsCardNumber(name)) errors.push({ detail: NAME_MESSAGE, pointer: pointer(["metadata"]) });
    else if (holdsCardNumber(value)) errors.push({ detail: MESSAGE, pointer: pointer(["metadata", name]) });
  }
  return errors.length === 0 ? null : problem(c, "card_number_refused", { errors });
}

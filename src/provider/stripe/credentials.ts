/** Whether Stripe takes an account's key, for all that payments need. */

import { UNREADABLE } from "../exchange";
import type { CheckedCredentials, Connection } from "../seam";
import { detailOf, get, judgeUnanswered } from "./calls";
import { PageSchema } from "./observe";

/** Lists that a key must be allowed to read; what it may write, nothing harmless tells. */
const NEEDED: readonly { readonly path: string; readonly what: string; readonly expand?: string }[] = [
  { path: "/v1/payment_intents", what: "PaymentIntents and charges", expand: "data.latest_charge" },
  { path: "/v1/refunds", what: "refunds" },
  { path: "/v1/disputes", what: "disputes" },
];

/** Asks for the newest entry of each list: the same is read of every payment. */
export async function checkCredentials(connection: Connection): Promise<CheckedCredentials> {
  for (const { path, what, expand } of NEEDED) {
    const answer = await get(connection, path, { limit: "1", "expand[]": expand });
    if (answer.tag !== "answer") return answer;
    if (answer.status === 401) return { tag: "rejected", detail: "Stripe does not know the API key, or no longer" };
    if (answer.status === 403) return { tag: "rejected", detail: `The API key may not read ${what}` };
    const unanswered = judgeUnanswered(answer);
    if (unanswered !== null) return unanswered;
    if (answer.status >= 300) return { tag: "unknown", detail: detailOf(answer) };
    if (!PageSchema.safeParse(answer.json).success) return UNREADABLE;
  }
  return { tag: "accepted" };
}

/** The sandbox's API as it is read: its paths, and the bodies of its calls. */
import { z } from "zod";

const nonce = z
  .object({ nonce: z.string().max(255).optional() })
  .catchall(z.string())
  .optional();
const amount = z.number().int().positive().max(Number.MAX_SAFE_INTEGER);
/** More than anybody means to say; in UTF-16 code units. */
const text = z.string().max(8_192);

export const BODIES = {
  create: z.strictObject({
    amount,
    currency: z.string().regex(/^[A-Z]{3}$/),
    capture: z.enum(["automatic", "manual"]),
    metadata: z.record(z.string(), z.string()).optional(),
  }),
  confirm: z.strictObject({
    payment_method: text,
    return_url: text.optional(),
    description: text.optional(),
    metadata: nonce,
  }),
  capture: z.strictObject({ amount: amount.optional(), metadata: nonce }),
  cancel: z.strictObject({ reason: text.optional(), metadata: nonce }),
  refund: z.strictObject({ payment: z.string(), amount: amount.optional(), reason: text.optional(), metadata: nonce }),
};

export type Action = keyof typeof BODIES;

/** What a POST asks for, and of which payment; null where the API has no such path. A refund names its payment in its body. */
export function readPath(path: string): { action: Action; payment: string } | null {
  if (path === "/v1/payments") return { action: "create", payment: "" };
  if (path === "/v1/refunds") return { action: "refund", payment: "" };
  const [, payment = "", action] = /^\/v1\/payments\/(\w+)\/(confirm|capture|cancel)$/.exec(path) ?? [];
  return action === "confirm" || action === "capture" || action === "cancel" ? { action, payment } : null;
}

/** A return URL is where a browser may be sent: http or https. */
export function isReturnUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

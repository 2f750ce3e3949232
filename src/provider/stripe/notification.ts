/** Stripe's notifications: `Stripe-Signature` over the raw body, and whom an event is about. */
import { z } from "zod";
import { hmacSha256, isEqual } from "../mac";
import type { Connection, NotificationRequest, Notified } from "../seam";
import { API_KEY, modeOf, WEBHOOK_SECRET } from "./account";
import { paymentIdIn } from "./observe";

/** How old a notification may be, or how far ahead of this machine's clock. */
const MAX_AGE_MS = 5 * 60_000;
/** Signatures of one notification: one for each secret that is not rolled away yet. */
const MAX_SIGNATURES = 20;

/**
 * Reads a notification. `Stripe-Signature: t=<seconds>,v1=<hex>,v1=<hex>` has an HMAC-SHA256 of the seconds, a point and the body
 * for each secret of the endpoint; other schemes than `v1` count for nothing.
 */
export async function readNotification(
  connection: Connection,
  { headers, body, now }: NotificationRequest,
): Promise<Notified> {
  const pairs = (headers.get("Stripe-Signature") ?? "").split(",").map((pair) => pair.trim().split("="));
  const valuesOf = (name: string) => pairs.flatMap(([key, value]) => (key === name && value ? [value] : []));
  const [time = "", ...others] = valuesOf("t");
  const isRecent = /^\d{1,12}$/.test(time) && Math.abs(now - Number(time) * 1_000) <= MAX_AGE_MS;
  const given = valuesOf("v1").slice(0, MAX_SIGNATURES);
  if (!isRecent || others.length > 0 || given.length === 0) return { tag: "unsigned" };
  const isSigned = await Promise.all(
    secretsOf(connection).map(async (secret) => {
      const expected = await hmacSha256(secret, `${time}.${body}`);
      return given.some((signature) => isEqual(signature, expected));
    }),
  );
  return isSigned.includes(true) ? readEvent(connection, body) : { tag: "unsigned" };
}

const secretsOf = ({ secrets }: Connection): string[] =>
  (secrets[WEBHOOK_SECRET] ?? "")
    .split(",")
    .map((secret) => secret.trim())
    .filter((secret) => secret !== "");

const name = z.string().min(1);
const EventSchema = z.object({
  id: name,
  type: z.string(),
  livemode: z.boolean().optional(),
  data: z.unknown().optional(),
});
const metadata = z.record(z.string(), z.string()).nullish();
/** What an event is about: a PaymentIntent itself, or what says whose it is. */
const AboutSchema = z.object({
  object: z.discriminatedUnion("object", [
    z.object({ object: z.literal("payment_intent"), id: name, metadata }),
    z.object({
      object: z.enum(["charge", "refund", "dispute"]),
      payment_intent: z.union([name, z.object({ id: name })]),
      metadata,
    }),
  ]),
});

/** The events that tell of payments; `charge.dispute.closed` is one of a charge by its name. */
const ABOUT_PAYMENTS = /^(?:payment_intent|charge|refund)\./;

function readEvent(connection: Connection, body: string): Notified {
  const read = EventSchema.safeParse(parse(body));
  if (!read.success) return { tag: "unsigned" };
  const { id, type, livemode, data } = read.data;
  const about = ABOUT_PAYMENTS.test(type) ? AboutSchema.safeParse(data) : null;
  // A test event says nothing of an account that moves real money, and the reverse.
  const isOfMode = modeOf(connection.secrets[API_KEY] ?? "") === (livemode === true ? "live" : "test");
  if (!about?.success || livemode === undefined || !isOfMode) return { tag: "ignored", id };
  const { object } = about.data;
  const reference = object.object === "payment_intent" ? object.id : nameOf(object.payment_intent);
  return { tag: "notified", id, reference, paymentId: paymentIdIn(object.metadata, connection) };
}

const nameOf = (of: string | { readonly id: string }): string => (typeof of === "string" ? of : of.id);

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** What came of a delivery, for somebody who does not know HTTP. Pure. */
import type { WebhookEndpointResponse } from "../../outbox/endpoint-schemas";
import type { DeliveryState } from "../../outbox/states";
import { UNSIGNED_MESSAGE } from "../../webhook/send";
import type { Tone } from "../tones";

const STATE_TONES: Readonly<Record<DeliveryState, Tone>> = {
  waiting: "waiting",
  pending: "waiting",
  succeeded: "good",
  exhausted: "bad",
  cancelled: "over",
};

/** Of an attempt, as the API shows it: what was answered, or why nothing was. */
interface AttemptResult {
  readonly http_status: number | null;
  readonly error: string | null;
}

/** Of a delivery, as the API shows it. */
interface DeliveryProgress {
  readonly status: DeliveryState;
  readonly attempt_count: number;
}

/** What an attempt came to in a few words, and what to do about it; null where it was taken. */
export function explainAttempt({ http_status: status, error }: AttemptResult): {
  readonly result: string;
  readonly advice: string | null;
} {
  if (status === null) {
    const result = error ?? "Nothing was answered";
    if (error === UNSIGNED_MESSAGE) {
      return {
        result,
        advice: "The server has no part in this. It is tried again every five minutes; a new secret ends it, too.",
      };
    }
    return {
      result,
      advice: "See whether the server is up, can be reached from the internet, and answers within 15 seconds.",
    };
  }
  const result = `Answered ${status}`;
  if (status < 300) return { result, advice: null };
  if (status < 400) {
    return { result, advice: "A redirect is not followed. Set the endpoint's URL to the one that it leads to." };
  }
  if (status === 401 || status === 403) {
    return {
      result,
      advice: "The server refused it. See that it checks the signature with the endpoint's present secret.",
    };
  }
  if (status === 404 || status === 405) {
    return { result, advice: "Nothing takes POST requests at this URL. See that the endpoint's URL is the right one." };
  }
  if (status === 410) {
    return { result, advice: "The server said that it is gone for good, which disables the endpoint." };
  }
  if (status === 429) return { result, advice: "The server has too much to do. It is tried again later." };
  if (status < 500) return { result, advice: "The server refused it. Its answer below may say why." };
  return { result, advice: "The server has failed. Look into its log at this time, then send the event again." };
}

/** Where a delivery stands, in a sentence without its end. */
export function explainState(delivery: DeliveryProgress): string {
  const tries = `${delivery.attempt_count} ${delivery.attempt_count === 1 ? "attempt" : "attempts"}`;
  switch (delivery.status) {
    case "waiting":
      return "It waits for an earlier event of the same payment, which goes first";
    case "pending":
      return delivery.attempt_count === 0
        ? "It is about to be sent"
        : `It has failed after ${tries}, and is sent again`;
    case "succeeded":
      return `The endpoint took it, after ${tries}`;
    case "exhausted":
      return `It was given up after ${tries}`;
    case "cancelled":
      return "It was cancelled: the endpoint was disabled or deleted first, or no longer receives this type";
  }
}

/** How a delivery's state looks: one that has failed and is tried again is no longer merely to come. */
export function lookOf({ status, attempt_count: count }: DeliveryProgress): {
  readonly tone: Tone;
  readonly text: string;
} {
  return status === "pending" && count > 0
    ? { tone: "bad", text: "failing" }
    : { tone: STATE_TONES[status], text: STATE_NAMES[status] };
}

const STATE_NAMES: Readonly<Record<DeliveryState, string>> = {
  waiting: "waiting",
  pending: "sending",
  succeeded: "delivered",
  exhausted: "given up",
  cancelled: "cancelled",
};

/** How an endpoint does. */
export function healthOf(endpoint: WebhookEndpointResponse): { readonly tone: Tone; readonly text: string } {
  if (!endpoint.enabled) return { tone: "over", text: "disabled" };
  return endpoint.failing_since === null ? { tone: "good", text: "enabled" } : { tone: "bad", text: "failing" };
}

const DISABLED_REASONS: Readonly<Record<NonNullable<WebhookEndpointResponse["disabled_reason"]>, string>> = {
  requested: "Somebody disabled it.",
  gone: "Its server answered 410, which says that it is gone for good.",
  failing: "Every delivery to it failed for five days.",
  key_revoked: "The API key that set its URL was revoked. Set the URL again, then enable it.",
};

/** Why nothing is sent to an endpoint; null while it is. */
export function whyDisabled({ disabled_reason: reason }: WebhookEndpointResponse): string | null {
  return reason === null ? null : DISABLED_REASONS[reason];
}

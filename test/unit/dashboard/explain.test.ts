import { expect, it } from "vitest";
import { explainAttempt, explainState, healthOf, lookOf, whyDisabled } from "../../../src/dashboard/webhooks/explain";
import { WEBHOOK_ENDPOINT_EXAMPLE } from "../../../src/outbox/endpoint-schemas";
import { DELIVERY_STATE_NAMES } from "../../../src/outbox/states";

it.each([
  [200, null],
  [299, null],
  [301, "redirect"],
  [399, "redirect"],
  [400, "Its answer below may say why"],
  [401, "signature"],
  [403, "signature"],
  [404, "Nothing takes POST requests"],
  [405, "Nothing takes POST requests"],
  [410, "gone for good"],
  [429, "too much to do"],
  [499, "Its answer below may say why"],
  [500, "Look into its log"],
  [599, "Look into its log"],
])("an answer of %d", (status, advice) => {
  const explained = explainAttempt({ http_status: status, error: null });
  expect(explained.result).toBe(`Answered ${status}`);
  expect(explained.advice).toEqual(advice === null ? null : expect.stringContaining(advice));
});

it("no answer has the error's words, and says what to look at", () => {
  expect(explainAttempt({ http_status: null, error: "No connection" })).toEqual({
    result: "No connection",
    advice: expect.stringContaining("can be reached from the internet"),
  });
  expect(explainAttempt({ http_status: null, error: null }).result).toBe("Nothing was answered");
});

it("what could not be signed is not the server's fault", () => {
  const error = "Not sent: this service could not open the endpoint's secret";
  expect(explainAttempt({ http_status: null, error })).toEqual({
    result: error,
    advice: "The server has no part in this. It is tried again every five minutes; a new secret ends it, too.",
  });
});

it("each state of a delivery has a sentence of its own, which counts its attempts", () => {
  const sentences = DELIVERY_STATE_NAMES.map((status) => explainState({ status, attempt_count: 2 }));
  expect(new Set(sentences).size).toBe(DELIVERY_STATE_NAMES.length);
  expect(explainState({ status: "succeeded", attempt_count: 1 })).toBe("The endpoint took it, after 1 attempt");
  expect(explainState({ status: "exhausted", attempt_count: 12 })).toBe("It was given up after 12 attempts");
  expect(explainState({ status: "pending", attempt_count: 0 })).toBe("It is about to be sent");
});

it("an endpoint is enabled, failing or disabled, and says why it is", () => {
  const at = "2026-01-16T16:57:41.614Z";
  expect(healthOf(WEBHOOK_ENDPOINT_EXAMPLE)).toEqual({ tone: "good", text: "enabled" });
  expect(healthOf({ ...WEBHOOK_ENDPOINT_EXAMPLE, failing_since: at })).toEqual({ tone: "bad", text: "failing" });
  const disabled = { ...WEBHOOK_ENDPOINT_EXAMPLE, enabled: false, failing_since: at, disabled_at: at };
  expect(healthOf(disabled)).toEqual({ tone: "over", text: "disabled" });
  expect(whyDisabled(WEBHOOK_ENDPOINT_EXAMPLE)).toBeNull();
  const reasons = (["requested", "gone", "failing", "key_revoked"] as const).map((disabled_reason) =>
    whyDisabled({ ...disabled, disabled_reason }),
  );
  expect(new Set(reasons).size).toBe(4);
});

it("a delivery that has failed and is tried again looks as bad as one that was given up", () => {
  expect(lookOf({ status: "pending", attempt_count: 0 })).toEqual({ tone: "waiting", text: "sending" });
  expect(lookOf({ status: "pending", attempt_count: 1 })).toEqual({ tone: "bad", text: "failing" });
  expect(lookOf({ status: "exhausted", attempt_count: 12 })).toEqual({ tone: "bad", text: "given up" });
  expect(lookOf({ status: "succeeded", attempt_count: 1 })).toEqual({ tone: "good", text: "delivered" });
});

/** docs/providers.md says of each provider what the adapters do. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { FAILURE_CODES } from "../../../src/provider/failures";
import { MOLLIE_FAILURES } from "../../../src/provider/mollie/failures";
import { mollie } from "../../../src/provider/mollie/mollie";
import { STATUSES } from "../../../src/provider/mollie/snapshot";
import { sandbox } from "../../../src/provider/sandbox";
import type { Adapter, Capabilities } from "../../../src/provider/seam";
import { STRIPE_FAILURES } from "../../../src/provider/stripe/failures";
import { DISPUTE_STATES, IntentSchema, statusOf } from "../../../src/provider/stripe/snapshot";
import { stripe } from "../../../src/provider/stripe/stripe";
import { intent } from "./stripe/stripe-answers";

const PAGE = readFileSync(path.join(import.meta.dirname, "../../../docs/providers.md"), "utf8");

/** The text below a heading. */
const below = (heading: string): string => PAGE.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";

/** The rows of the table below a heading, each a list of its cells; the head is left out. */
function tableBelow(heading: string): string[][] {
  const [table = ""] = /^\|.*\n\|[ |:-]+\n(?:\|.*\n?)*/m.exec(below(heading)) ?? [];
  const [, , ...rows] = table.trim().split("\n");
  return rows.map((row) => row.split("|").slice(1, -1)).map((cells) => cells.map((cell) => cell.trim()));
}

const PROVIDERS: Readonly<Record<string, Adapter | null>> = { internal: null, sandbox, stripe, mollie };
const PROVIDER_NAMES = Object.keys(PROVIDERS);

const code = (text: string) => `\`${text}\``;
const yes = (is: boolean) => (is ? "yes" : "no");

it("has the capabilities of every adapter", () => {
  const rows = new Map(tableBelow("Capabilities").map(([what = "", ...cells]) => [what, cells]));
  expect(below("Capabilities")).toContain(`| | ${PROVIDER_NAMES.map(code).join(" | ")} |`);
  const says = (what: string, of: (capabilities: Capabilities) => string, ofInternal: string) =>
    expect([what, rows.get(what)]).toEqual([
      what,
      PROVIDER_NAMES.map((name) => {
        const adapter = PROVIDERS[name];
        return !adapter ? ofInternal : of(adapter.capabilities);
      }),
    ]);
  says("a reference before any money moves", ({ reference }) => yes(reference === "first"), "no");
  says("keys of calls are good for, hours", ({ keyWindowMs }) => String(Math.floor(keyWindowMs / 360_000) / 10), "");
  says(
    "notifications",
    ({ ownNotificationUrl }) => (ownNotificationUrl ? "unsigned, to a URL of the payment's own with a MAC" : "signed"),
    "none",
  );
  says("manual capture", ({ manualCapture }) => yes(manualCapture), "no");
  says("capture of a part, once", ({ partialCapture }) => yes(partialCapture), "no");
  says("refund of a part", ({ partialRefund }) => yes(partialRefund), "yes");
});

it("has what each provider takes of a confirmation", () => {
  const cells =
    tableBelow("Capabilities")
      .find(([what]) => what === "`return_url`")
      ?.slice(1) ?? [];
  const needsReturnUrl = PROVIDER_NAMES.map((name) => {
    const request = { paymentMethod: name === "sandbox" ? "test_ok" : name === "stripe" ? "pm_card_visa" : "ideal" };
    return PROVIDERS[name]?.check?.("authorize", request)?.field === "return_url";
  });
  expect(needsReturnUrl).toEqual(cells.map((cell) => cell === "required"));
});

it("has what becomes of every status of Stripe's, by whoever confirms", () => {
  const rows = tableBelow("Stripe's statuses");
  const of = (status: string, confirmation: string, hasFailed: boolean) =>
    statusOf(
      IntentSchema.parse(
        intent({
          status,
          metadata: { confirmation },
          last_payment_error: hasFailed ? { type: "card_error", code: "card_declined" } : null,
        }),
      ),
    );
  for (const [status = "", server, client] of rows) {
    const word = status.replaceAll("`", "");
    const [first, second] = [of(word, "server", false), of(word, "server", true)];
    const said = first === second ? code(first) : `${code(first)}, and ${code(second)} after a decline`;
    expect([word, server, client]).toEqual([word, said, code(of(word, "client", true))]);
  }
  const documented = ["requires_payment_method", "requires_confirmation", "requires_action", "processing"];
  expect(rows.map(([status = ""]) => status)).toEqual(
    [...documented, "requires_capture", "succeeded", "canceled"].map(code),
  );
  expect(of("made_up_since", "server", false)).toBe("processing");
});

it("has what becomes of every status of a dispute at Stripe", () => {
  const [line = ""] = /^Disputes: .*$/m.exec(below("Stripe's statuses")) ?? [];
  for (const part of line.slice("Disputes: ".length).split("; ")) {
    const words = [...part.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word);
    const state = words.pop();
    for (const word of words)
      expect([word, Object.entries(DISPUTE_STATES).find(([name]) => name === word)?.[1]]).toEqual([word, state]);
  }
});

it("has what becomes of every status of Mollie's", () => {
  expect(tableBelow("Mollie's statuses")).toEqual(
    Object.entries(STATUSES).map(([word, status]) => [code(word), code(status)]),
  );
});

it("has the provider's words for every failure", () => {
  const wordsFor = (table: Readonly<Record<string, string>>, failure: string) =>
    Object.entries(table)
      .filter(([, own]) => own === failure)
      .map(([word]) => code(word))
      .join(", ");
  const rows = FAILURE_CODES.map((failure) => [
    code(failure),
    wordsFor(STRIPE_FAILURES, failure),
    wordsFor(MOLLIE_FAILURES, failure),
  ]);
  expect(tableBelow("Failure codes")).toEqual(rows.filter(([, stripe, mollie]) => stripe !== "" || mollie !== ""));
});

/** What the adapter of Mollie lists for reconciliation at a Mollie of our own, and whether it takes a key. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import type { ListedEntry, Listing } from "../../../src/provider/listing";
import { mollie } from "../../../src/provider/mollie/mollie";
import { aPayment, withScheduler } from "../payment";
import { type Mollie, startMollie } from "./mollie";

const HOUR_MS = 3_600_000;

let there: Mollie;
beforeAll(async () => {
  there = await startMollie();
});
afterAll(() => there?.stop());
beforeEach(withScheduler);
afterEach(() => {
  vi.unstubAllGlobals();
  expect(there.violations.splice(0)).toEqual([]);
});

/** A payment that was paid, now by the ledger's clock. */
async function paid() {
  const payment = aPayment(mollie, there.connection, { request: { returnUrl: "https://shop.example/" } });
  await payment.run("authorize");
  there.ledger.move(payment.view().providerReference ?? "", "paid");
  await payment.ask();
  return { ...payment, reference: payment.view().providerReference ?? "" };
}

/** All pages of a listing. */
async function all(listing: Listing, from: number, to: number): Promise<{ entries: ListedEntry[]; pages: number }> {
  const entries: ListedEntry[] = [];
  let cursor: string | null = null;
  for (let pages = 1; ; pages++) {
    const listed = await mollie.list(there.connection, { listing, from, to, cursor });
    if (listed.tag !== "listed") throw new Error(JSON.stringify(listed));
    entries.push(...listed.entries);
    if (listed.next === null) return { entries, pages };
    cursor = listed.next;
  }
}

it("lists what happened in a time, and nothing beside it", async () => {
  const { now } = there.ledger;
  const before = await paid();
  there.ledger.now += HOUR_MS;
  const within = await paid();
  await within.run("refund", 2_500);
  there.ledger.chargeBack(before.reference, 10_000);
  there.ledger.now += HOUR_MS;
  await paid();

  const [from, to] = [now + HOUR_MS, now + 2 * HOUR_MS];
  const about = { currency: "EUR", createdAt: from, amountMinor: 10_000 };
  expect((await all("payments", from, to)).entries).toEqual([
    {
      ...{ ...about, reference: within.reference, paymentReference: within.reference, paymentId: within.id },
      payment: { status: "captured", capturedMinor: 10_000, refundedMinor: 2_500 },
    },
  ]);
  const { refunds } = there.ledger.find(within.reference);
  expect((await all("refunds", from, to)).entries).toEqual([
    {
      ...{ ...about, amountMinor: 2_500, reference: refunds[0]?.id, paymentReference: within.reference },
      ...{ paymentId: within.id, payment: null },
    },
  ]);
  const { chargebacks } = there.ledger.find(before.reference);
  expect((await all("disputes", from, to)).entries).toEqual([
    {
      ...{ ...about, reference: chargebacks[0]?.id, paymentReference: before.reference, paymentId: before.id },
      payment: null,
    },
  ]);
});

it("reads page after page, until one reaches back beyond the time", async () => {
  const start = there.ledger.now + HOUR_MS;
  const body = {
    amount: { currency: "EUR", value: "1.00" },
    description: "Many",
    redirectUrl: "https://shop.example/",
  };
  for (let made = 0; made < 600; made++) {
    there.ledger.now = start + made * 1_000;
    there.ledger.answer(
      "POST /payments",
      { ...body, metadata: { payment_id: String(made + 1) } },
      new URLSearchParams(),
    );
  }
  const whole = await all("payments", start, start + HOUR_MS);
  expect(whole.pages).toBe(3);
  expect(whole.entries.map(({ paymentId }) => paymentId)).toEqual(Array.from({ length: 600 }, (_, at) => 600 - at));
  const newest = await all("payments", start + 500_000, start + 550_000);
  expect(newest.pages).toBe(1);
  expect(newest.entries.map(({ paymentId }) => paymentId)).toEqual(Array.from({ length: 50 }, (_, at) => 550 - at));
});

it("says whose payment a reference is, of its own merchant's alone", async () => {
  const { reference, id } = await paid();
  const { connection } = there;
  expect(await mollie.locate(connection, reference)).toEqual({ tag: "located", paymentId: id });
  const other = { ...connection, merchantId: 2 };
  expect(await mollie.locate(other, reference)).toEqual({ tag: "located", paymentId: null });
  expect(await mollie.locate(connection, "tr_none")).toEqual({ tag: "not_found" });
});

it("takes an account's key, and no other", async () => {
  expect(await mollie.checkCredentials(there.connection)).toEqual({ tag: "accepted" });
  const wrong = { ...there.connection, secrets: { api_key: "test_short" } };
  expect(await mollie.checkCredentials(wrong)).toMatchObject({ tag: "rejected" });
});

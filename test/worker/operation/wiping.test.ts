/** What is sealed of a payment is kept while it may serve, and no longer: the request of an operation, and the means of payment. */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { advanceSandbox, api, ask, newPayment, operationsOf, pressed, resumed } from "./shop";

/** The sealed means of payment of a payment, as it stands in D1. */
async function methodOf(id: number): Promise<string | null> {
  const row = await env.DB.prepare("SELECT payment_method FROM payments WHERE id = ?")
    .bind(id)
    .first<{ payment_method: string | null }>();
  return row?.payment_method ?? null;
}

/** Whether each operation of a payment, in their order, still has its request. */
const requestsOf = async (id: number) =>
  (await operationsOf(id)).map(({ state, request }) => [state, request !== null]);

/** Has the time of a payment end. */
async function overdue(id: number): Promise<void> {
  await env.DB.batch([
    env.DB.prepare("UPDATE payments SET expires_at = created_at + 1, expiry_due_at = created_at + 1 WHERE id = ?").bind(
      id,
    ),
    env.DB.prepare(
      "UPDATE events SET data = json_set(data, '$.expires_at', created_at + 1) WHERE payment_id = ? AND sequence = 1",
    ).bind(id),
  ]);
}

type Step = (id: number) => Promise<unknown>;
const confirm: Step = (id) => ask(id, "confirm");
const cancel: Step = (id) => ask(id, "cancel");
const fail: Step = (id) => ask(id, "fail");
const expire: Step = async (id) => {
  await overdue(id);
  await resumed(id);
};
const pay: Step = async (id) => {
  await pressed((await api.get(id)).body, "pay");
  await resumed(id);
};
const decide: Step = async (id) => {
  await advanceSandbox(60_000);
  await resumed(id);
};

it.each<readonly [end: string, token: string, creation: object, steps: readonly Step[]]>([
  ["confirmed", "test_ok", {}, [confirm]],
  ["authorized", "test_ok", { capture_method: "manual" }, [confirm]],
  ["failed", "test_declined", {}, [confirm]],
  ["failed", "test_ok", {}, [fail]],
  ["cancelled", "test_ok", {}, [cancel]],
  ["expired", "test_ok", { expires_in: 60 }, [expire]],
  ["confirmed", "test_action_ok", {}, [confirm, pay]],
  ["cancelled", "test_action_ok", {}, [confirm, cancel]],
  ["expired", "test_action_ok", { expires_in: 60 }, [confirm, expire]],
  ["confirmed", "test_delayed_ok", {}, [confirm, decide]],
  ["failed", "test_delayed_failed", {}, [confirm, decide]],
  ["confirmed", "test_lost_answer", {}, [confirm, decide]],
])(
  "a payment that is %s with %s, created with %j, keeps its means of payment until then",
  async (end, token, creation, steps) => {
    const { id } = await newPayment({ ...creation, payment_method: token });
    for (const step of steps) {
      expect(await methodOf(id)).toMatch(/^v1\./);
      await step(id);
    }
    expect([(await api.get(id)).body.status, await methodOf(id)]).toEqual([end, null]);
  },
);

it("a payment that the provider would not take is pending still, and keeps its means of payment", async () => {
  const { id } = await newPayment({ payment_method: "test_ok" });
  expect((await ask(id, "confirm", { payment_method: "none" })).status).toBe(422);
  expect([(await api.get(id)).body.status, await methodOf(id)]).toEqual(["pending", expect.stringMatching(/^v1\./)]);
});

it("an operation keeps its request while it may be sent again, and no longer", async () => {
  const { id } = await newPayment({ capture_method: "manual" });
  await ask(id, "confirm", { payment_method: "test_action_ok" });
  expect(await requestsOf(id)).toEqual([["pending", true]]);
  await pay(id);
  expect(await requestsOf(id)).toEqual([["succeeded", false]]);
  await ask(id, "capture", { amount: 40 });
  await ask(id, "refunds", { amount: 10 });
  expect(await requestsOf(id)).toEqual([
    ["succeeded", false],
    ["succeeded", false],
    ["succeeded", false],
  ]);
});

it.each([
  ["test_declined", "declined", 402],
  ["test_lost_answer", "unknown", 202],
] as const)(
  "an operation with %s, which is %s, keeps its request as long as it is not settled",
  async (token, state, status) => {
    const { id } = await newPayment();
    expect((await ask(id, "confirm", { payment_method: token })).status).toBe(status);
    expect(await requestsOf(id)).toEqual([[state, state === "unknown"]]);
    await decide(id);
    expect((await requestsOf(id)).map(([, hasIt]) => hasIt)).toEqual([false]);
  },
);

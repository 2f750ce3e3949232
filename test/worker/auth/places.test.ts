/** Where each sealed text stands: what was sealed for one of these places opens in no other. */
import { expect, it } from "vitest";
import { open, type SealedPlace, seal } from "../../../src/auth/seal";
import { makeSecretsKeys } from "../../../src/auth/secret-keys";
import { SEALED_COLUMNS } from "../../../src/jobs/sealed-columns";
import { requestPlace } from "../../../src/operation/journal/journal";
import { paymentMethodPlace } from "../../../src/payment/create";
import { secretPlace } from "../../../src/provider/accounts/connection";
import { endpointSecretPlace } from "../../../src/webhook/signature";

/** A change of one of these texts makes everything unreadable that was sealed before it. */
const PLACES: readonly (readonly [place: SealedPlace, text: string])[] = [
  [endpointSecretPlace(7, 17), "webhook_endpoints|7|webhook_endpoints/17/secret"],
  [endpointSecretPlace(7, 18), "webhook_endpoints|7|webhook_endpoints/18/secret"],
  [endpointSecretPlace(8, 17), "webhook_endpoints|8|webhook_endpoints/17/secret"],
  [secretPlace(7, 17, "api_key"), "provider_accounts|7|provider_accounts/17/api_key"],
  [secretPlace(7, 17, "webhook_secret"), "provider_accounts|7|provider_accounts/17/webhook_secret"],
  [requestPlace(7, 17, "nonce-1"), "operations|7|operations/17/nonce-1/request"],
  [requestPlace(7, 17, "nonce-2"), "operations|7|operations/17/nonce-2/request"],
  [paymentMethodPlace(7, "commit-1"), "payment_method|7|payments/commit-1/payment_method"],
];

it.each(PLACES)("%j is named as it always was", ({ account, merchantId, field }, text) => {
  expect([account, merchantId, field].join("|")).toBe(text);
});

it("what is sealed for one place opens in no other", async () => {
  const keys = makeSecretsKeys(new Date());
  for (const [place] of PLACES) {
    const sealed = await seal("secret", place, keys);
    const opened = await Promise.all(PLACES.map(([other]) => open(sealed, other, keys)));
    expect(opened.map(({ tag }) => tag)).toEqual(
      PLACES.map(([other]) => (other === place ? "opened" : "not_authentic")),
    );
  }
});

it("the job that seals anew knows the places of what it reads", () => {
  const row = { id: 17, merchant_id: 7, payment_id: 17, number: 1, nonce: "nonce-1", created_by: "commit-1" };
  const fields = {
    value: (column: string) => Object.entries(row).find(([name]) => name === column)?.[1] ?? "missing",
    number: (column: string) => Number(fields.value(column)),
    text: (column: string) => String(fields.value(column)),
  };
  expect(SEALED_COLUMNS.map(({ table, column, place }) => [`${table}.${column}`, place(fields)])).toEqual([
    ["webhook_endpoints.secret", endpointSecretPlace(7, 17)],
    ["webhook_endpoints.previous_secret", endpointSecretPlace(7, 17)],
    ["provider_accounts.api_key", secretPlace(7, 17, "api_key")],
    ["provider_accounts.webhook_secret", secretPlace(7, 17, "webhook_secret")],
    ["operations.request", requestPlace(7, 17, "nonce-1")],
    ["payments.payment_method", paymentMethodPlace(7, "commit-1")],
  ]);
});

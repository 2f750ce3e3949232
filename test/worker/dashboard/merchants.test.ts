/** Merchants and the account trail in the dashboard. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { ACCOUNT_EVENT_TYPES } from "../../../src/account/event-types";
import { publicId } from "../../../src/auth/api-key";
import { SCOPE_NAMES } from "../../../src/scopes";
import { administrator, client, newKey, newMerchant, ORDER } from "../client";
import { type Browser, fieldsOf, signedIn, textOf } from "./browser";

const MERCHANTS = "/dashboard/merchants";
const TRAIL = "/dashboard/account";
const OWN_SCOPES = SCOPE_NAMES.filter((scope) => scope !== "admin");
const HOSTILE = `<svg onload=alert(1)>"'&lt;`;

let visitor: Browser;
beforeAll(async () => {
  visitor = await signedIn(env.ADMIN_KEY ?? "");
});

const make = async (name: string): Promise<string> => {
  const page = await visitor.fill(`${MERCHANTS}/new`, { name });
  expect(page.status).toBe(303);
  return page.location?.replace(/\?.*/, "") ?? "";
};

it("creates a merchant once, however often the form is sent, and leads to it", async () => {
  const fields = { ...fieldsOf(await visitor.open(`${MERCHANTS}/new`)), name: "Bakery" };
  const first = await visitor.send(`${MERCHANTS}/new`, fields);
  const second = await visitor.send(`${MERCHANTS}/new`, fields);
  expect(first.location).toMatch(/^\/dashboard\/merchants\/\d+\?notice=merchant_created$/);
  expect(second.location).toBe(first.location);
  const page = await visitor.open(first.location ?? "");
  expect(page.text).toContain("<h1>Bakery</h1>");
  expect(page.text).toContain("Give it an API key next.");
  expect((await visitor.open(MERCHANTS)).text).toContain("Bakery");
});

it("refuses a merchant without a name, and keeps the form", async () => {
  const page = await visitor.fill(`${MERCHANTS}/new`, { name: "" });
  expect([page.status, page.location]).toEqual([422, null]);
  expect(page.text).toContain('role="alert"');
  expect(fieldsOf(page)).toHaveProperty("idempotency_key");
});

it("renames a merchant, and shows a hostile name as the text that it is", async () => {
  const path = await make("Before");
  const page = await visitor.fill(`${path}/rename`, { name: HOSTILE });
  expect(page.location).toBe(`${path}?notice=merchant_renamed`);
  for (const shown of [path, MERCHANTS, `${path}/disable`, `${TRAIL}?merchant_id=${path.split("/").at(-1)}`]) {
    const { text } = await visitor.open(shown);
    expect(text).not.toContain("<svg onload");
    expect(textOf(text), shown).toContain(HOSTILE);
  }
});

it("disables a merchant, whose people are out at once, and enables it again", async () => {
  const path = await make("Held");
  const id = Number(path.split("/").at(-1));
  const key = await newKey(OWN_SCOPES, id);
  const theirs = await signedIn(key);
  expect((await theirs.request("/dashboard")).status).toBe(200);
  expect((await visitor.fill(`${path}/disable`, {})).location).toBe(`${path}?notice=merchant_disabled`);
  expect((await theirs.request("/dashboard")).status).toBe(403);
  const disabled = await visitor.open(path);
  expect(disabled.text).toContain('<span class="badge bad">disabled</span>');
  expect(disabled.text).toContain(`${path}/enable`);
  expect((await visitor.fill(`${path}/enable`, {})).location).toBe(`${path}?notice=merchant_enabled`);
  expect((await theirs.request("/dashboard")).status).toBe(200);
});

it("shows what a merchant stores, as the API does", async () => {
  const merchant = await newMerchant();
  await client(undefined, { key: await newKey(OWN_SCOPES, merchant) }).create(ORDER);
  const { body } = await administrator().request<{ stored_bytes: number }>("GET", `/api/v1/merchants/${merchant}`);
  expect(body.stored_bytes).toBeGreaterThan(0);
  expect((await visitor.open(`${MERCHANTS}/${merchant}`)).text).toContain(`title="${body.stored_bytes} bytes"`);
});

it("a merchant that there is not is a page that says so", async () => {
  for (const id of ["999999999", "x", "0", "..", "%2e%2e", "."]) {
    const page = await visitor.open(`${MERCHANTS}/${id}/disable`);
    expect(page.status, id).toBeOneOf([404, 422]);
    expect(page.text).toContain("<h1");
  }
});

it("who is no administrator sees none of this", async () => {
  const own = await newMerchant();
  const theirs = await signedIn(await newKey(OWN_SCOPES, own));
  expect((await theirs.open("/dashboard")).text).not.toContain(MERCHANTS);
  for (const path of ["", "/new", "/1", "/1/disable", "/1/rename", "/1/enable"]) {
    const page = await theirs.open(MERCHANTS + path);
    expect([page.status, page.text]).toEqual([403, expect.stringContaining("lacks the scope admin")]);
  }
  const csrf_token = await theirs.csrfToken("/dashboard/keys/new");
  expect((await theirs.send(`${MERCHANTS}/1/disable`, { csrf_token })).status).toBe(403);
});

describe("the account trail", () => {
  it("shows a merchant's changes, each with who made it and in which request", async () => {
    const merchant = await newMerchant();
    const key = await newKey(OWN_SCOPES, merchant);
    const api = client(undefined, { key });
    const made = await api.request<{ id: string }>("POST", "/api/v1/api-keys", {
      body: { name: HOSTILE, scopes: ["events:read"] },
      headers: { "X-Request-Id": "the-creation" },
    });
    const theirs = await signedIn(key);
    const { text, status } = await theirs.open(TRAIL);
    expect(status).toBe(200);
    for (const shown of ["API key created", `pay_${made.body.id}_…`, `pay_${publicId(key)}_…`, "the-creation"]) {
      expect(text).toContain(shown);
    }
    expect(text).not.toContain("<svg onload");
    expect(textOf(text)).toContain(HOSTILE);
    expect(text).not.toContain('name="merchant_id"');
    // Another merchant's is not to be had by naming it.
    const named = await theirs.open(`${TRAIL}?merchant_id=1`);
    expect(named.text).toContain("the-creation");
  });

  it("filters as the API does, and says what is wrong with a filter", async () => {
    const merchant = await newMerchant();
    const theirs = await signedIn(await newKey(OWN_SCOPES, merchant));
    const { text } = await theirs.open(`${TRAIL}?type=merchant.created`);
    expect(text).toContain(`Merchant ${merchant}`);
    expect(text).not.toMatch(/<td>API key created/);
    expect((await theirs.open(`${TRAIL}?type=merchant.disabled`)).text).toContain("Nothing matches");
    for (const type of ACCOUNT_EVENT_TYPES) expect(text).toContain(`value="${type}"`);
    const wrong = await theirs.open(`${TRAIL}?created_from=yesterday`);
    expect(wrong.text).toContain('role="alert"');
    expect(fieldsOf(wrong).created_from).toBe("yesterday");
  });

  it("leads through its pages", async () => {
    const merchant = await newMerchant();
    const key = await newKey(OWN_SCOPES, merchant);
    for (let n = 0; n < 22; n++) await newKey(["events:read"], merchant);
    const theirs = await signedIn(key);
    const first = await theirs.open(`${TRAIL}?type=api_key.created`);
    const older = textOf(/href="(\/dashboard\/account\?[^"]*cursor=[^"]+)"/.exec(first.text)?.[1] ?? "");
    expect(older).toContain("type=api_key.created");
    const second = await theirs.open(older);
    expect(second.text).toContain(`pay_${publicId(key)}_…`);
    expect(second.text).toContain("Newest");
  });

  it("asks the administrator for a merchant first", async () => {
    const merchant = await newMerchant();
    expect((await visitor.open(TRAIL)).text).toContain("Choose a merchant");
    const { text } = await visitor.open(`${TRAIL}?merchant_id=${merchant}`);
    expect(text).toContain("Merchant created");
    expect(text).toContain(`/dashboard/merchants/${merchant}`);
  });
});

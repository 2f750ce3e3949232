/** API keys in the dashboard. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import { SCOPE_NAMES, SCOPES } from "../../../src/scopes";
import { administrator, client, newKey, newMerchant } from "../client";
import { type Browser, fieldsOf, signedIn, textOf } from "./browser";

const KEYS = "/dashboard/keys";
const OWN_SCOPES = SCOPE_NAMES.filter((scope) => scope !== "admin");
const HOSTILE = `<img src=x onerror=alert(1)>"'&amp;`;

let merchant: number;
let key: string;
let browser: Browser;

beforeAll(async () => {
  merchant = await newMerchant();
  key = await newKey(OWN_SCOPES, merchant);
  browser = await signedIn(key);
});

/** The key that a page shows this once. */
const shownKey = (text: string): string => /data-copy="(pay_[^"]+)"/.exec(text)?.[1] ?? "";

const create = async (fields: Record<string, string> = {}) => {
  const page = await browser.fill(`${KEYS}/new`, { name: "Order service", scopes: "payments:read", ...fields });
  return { page, made: shownKey(page.text) };
};

describe("creating a key", () => {
  it("shows it once, and it is good for what was chosen", async () => {
    const { page, made } = await create();
    expect(page.status).toBe(200);
    const api = client(undefined, { key: made });
    expect((await api.request("GET", "/api/v1/payments")).status).toBe(200);
    expect((await api.request("GET", "/api/v1/api-keys")).status).toBe(403);
    const list = await browser.open(KEYS);
    expect(list.text).toContain(`pay_${publicId(made)}_…`);
    expect(list.text).toContain(SCOPES["payments:read"]);
    for (const { text } of [list, await browser.open(`${KEYS}/${publicId(made)}`)]) expect(text).not.toContain(made);
    // Whose key made it.
    expect((await browser.open(`${KEYS}/${publicId(made)}`)).text).toContain(`pay_${publicId(key)}_…`);
  });

  it("twice by a double click makes one, which the second does not show", async () => {
    const fields = { ...fieldsOf(await browser.open(`${KEYS}/new`)), name: "Twice", scopes: "payments:read" };
    const first = await browser.send(`${KEYS}/new`, fields);
    const second = await browser.send(`${KEYS}/new`, fields);
    expect(shownKey(first.text)).not.toBe("");
    expect([second.status, shownKey(second.text)]).toEqual([200, ""]);
    expect(second.text).toContain("This form was sent before");
    const { results } = await env.DB.prepare("SELECT id FROM api_keys WHERE name = 'Twice'").all();
    expect(results).toHaveLength(1);
  });

  it("offers each scope that the visitor has, in its sentence, and no other", async () => {
    const few = await signedIn(await newKey(["keys:manage", "events:read"], merchant));
    const { text } = await few.open(`${KEYS}/new`);
    const offered = [...text.matchAll(/name="scopes" value="([^"]*)"/g)].map(([, scope]) => scope);
    expect(offered).toEqual(["events:read", "keys:manage"]);
    for (const scope of ["events:read", "keys:manage"] as const) expect(textOf(text)).toContain(SCOPES[scope]);
    // What the page does not offer, the API does not grant.
    const { csrf_token = "" } = fieldsOf(await few.open(`${KEYS}/new`));
    const forged = await few.send(`${KEYS}/new`, { csrf_token, name: "More", scopes: "payments:read" });
    expect([forged.status, forged.text]).toEqual([403, expect.stringContaining("lacks the scope payments:read")]);
  });

  it.each([
    ["no name", { name: "" }, "name"],
    ["no scope", { scopes: "" }, "scopes"],
    ["an end that is over", { expires_at: "2020-01-01" }, "expires_at"],
  ])("with %s says what is wrong, and keeps what was typed and the form's key", async (_, wrong, field) => {
    const before = fieldsOf(await browser.open(`${KEYS}/new`));
    const sent = { ...before, name: HOSTILE, scopes: "events:read", ...wrong };
    const page = await browser.send(`${KEYS}/new`, sent);
    expect(page.status).toBe(422);
    expect(page.text).toContain('role="alert"');
    expect(textOf(page.text)).toContain(field);
    const kept = fieldsOf(page);
    expect(kept.idempotency_key).toBe(before.idempotency_key);
    expect(kept.name).toBe(sent.name);
    if (!("scopes" in wrong)) expect(page.text).toMatch(/value="events:read" checked/);
  });

  it("with an end shows it", async () => {
    const { made } = await create({ expires_at: "2100-01-01" });
    expect((await browser.open(`${KEYS}/${publicId(made)}`)).text).toContain('datetime="2100-01-01T00:00:00.000Z"');
  });
});

it("shows a hostile name as the text that it is", async () => {
  const { made } = await create({ name: HOSTILE });
  for (const path of [KEYS, `${KEYS}/${publicId(made)}`, `${KEYS}/${publicId(made)}/revoke`]) {
    const { text } = await browser.open(path);
    expect(text).not.toContain("<img src=x");
    expect(textOf(text)).toContain(HOSTILE);
  }
});

it("renames a key", async () => {
  const path = `${KEYS}/${publicId((await create()).made)}`;
  const page = await browser.fill(`${path}/rename`, { name: "Another name" });
  expect(page.location).toBe(`${path}?notice=key_renamed`);
  const { text } = await browser.open(`${path}?notice=key_renamed`);
  expect(text).toContain("The key has its new name.");
  expect(text).toContain("<h1>Another name</h1>");
});

it("rolls a key: the new one is shown once, and the old one ends when it was said", async () => {
  const { made } = await create();
  const path = `${KEYS}/${publicId(made)}`;
  const page = await browser.fill(`${path}/roll`, { overlap_seconds: "0" });
  const rolled = shownKey(page.text);
  expect(rolled).toMatch(/^pay_/);
  const status = async (which: string) =>
    (await client(undefined, { key: which }).request("GET", "/api/v1/payments")).status;
  expect([await status(rolled), await status(made)]).toEqual([200, 401]);
});

describe("revoking a key", () => {
  it("says before what ends with it, and ends that", async () => {
    // Nothing leaves this machine.
    vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response(null, { status: 204 }));
    const parent = await newKey(OWN_SCOPES, merchant);
    const owner = client(undefined, { key: parent });
    const child = await owner.request<{ key: string; id: string }>("POST", "/api/v1/api-keys", {
      body: { name: "The child", scopes: ["keys:manage", "webhooks:manage", "events:read"] },
    });
    const grandchild = await client(undefined, { key: child.body.key }).request<{ id: string }>(
      ...(["POST", "/api/v1/api-keys"] as const),
      { body: { name: "The grandchild", scopes: ["events:read"] } },
    );
    const url = "https://shop.example.com/of-the-child";
    await client(undefined, { key: child.body.key }).request("POST", "/api/v1/webhook-endpoints", { body: { url } });
    const path = `${KEYS}/${publicId(parent)}`;
    const { text } = await browser.open(`${path}/revoke`);
    for (const ends of ["The child", "The grandchild", child.body.id, grandchild.body.id, url]) {
      expect(text).toContain(ends);
    }
    expect(text).not.toContain("Nothing else ends with it");
    const page = await browser.fill(`${path}/revoke`, {});
    expect(page.location).toBe(`${path}?notice=key_revoked`);
    for (const id of [publicId(parent), child.body.id, grandchild.body.id]) {
      expect((await browser.open(`${KEYS}/${id}`)).text).toContain('<span class="badge bad">revoked</span>');
    }
    // There is nothing more to be done to it.
    expect((await browser.open(path)).text).not.toContain(`${path}/revoke`);
  });

  it("says where nothing else ends", async () => {
    const { made } = await create();
    const { text } = await browser.open(`${KEYS}/${publicId(made)}/revoke`);
    expect(text).toContain("Nothing else ends with it.");
    expect(text).not.toContain("You have signed in with this key");
  });

  it("that one has signed in with signs out", async () => {
    const own = await newKey(OWN_SCOPES, merchant);
    const visitor = await signedIn(own);
    const path = `${KEYS}/${publicId(own)}/revoke`;
    expect((await visitor.open(path)).text).toContain("you are signed out with it");
    const { location } = await visitor.fill(path, {});
    expect((await visitor.request(location ?? "")).location).toContain("ended=yes");
  });
});

it("another merchant's key is as one that there is not", async () => {
  const strangers = publicId(await newKey(OWN_SCOPES, await newMerchant()));
  for (const action of ["", "/rename", "/roll", "/revoke"]) {
    const [theirs, nobodys] = [
      await browser.open(`${KEYS}/${strangers}${action}`),
      await browser.open(`${KEYS}/000000000000${action}`),
    ];
    expect([theirs.status, nobodys.status], action).toEqual([404, 404]);
  }
  const token = await browser.csrfToken(`${KEYS}/new`);
  const sent = await browser.send(`${KEYS}/${strangers}/revoke`, { csrf_token: token, idempotency_key: "x" });
  expect(sent.status).toBe(404);
  // Whose keys the address names makes no difference to who may not name one.
  const named = await browser.open(`${KEYS}?merchant_id=1`);
  expect(named.text).toContain(`pay_${publicId(key)}_…`);
});

it("a merchant without a key but the one that looks is told what a key is for, and pages lead on", async () => {
  const own = await newMerchant();
  const visitor = await signedIn(await newKey(OWN_SCOPES, own));
  for (let n = 0; n < 21; n++) await newKey(["events:read"], own);
  const first = await visitor.open(KEYS);
  const older = /href="(\/dashboard\/keys\?cursor=[^"]+)"/.exec(first.text)?.[1] ?? "";
  const second = await visitor.open(textOf(older));
  const ids = ({ text }: { text: string }) => [...new Set([...text.matchAll(/pay_(\w{12})_…/g)].map(([, id]) => id))];
  expect(second.text).toContain("Newest");
  expect(ids(second).length).toBeGreaterThanOrEqual(2);
  expect((await visitor.open(`${KEYS}?cursor=nonsense`)).status).toBe(422);
});

describe("an administrator", () => {
  it("chooses the merchant, by an id that the page suggests", async () => {
    const visitor = await signedIn(env.ADMIN_KEY ?? "");
    const none = await visitor.open(KEYS);
    expect(none.text).toContain("Choose a merchant");
    expect(none.text).toContain(`<option value="${merchant}">Shop</option>`);
    const chosen = await visitor.open(`${KEYS}?merchant_id=${merchant}`);
    expect(chosen.text).toContain(`pay_${publicId(key)}_…`);
    expect(chosen.text).toContain(`/dashboard/keys/new?merchant_id=${merchant}`);
    const page = await visitor.fill(
      `${KEYS}/new?merchant_id=${merchant}`,
      { name: "Made for it", scopes: "payments:read" },
      `${KEYS}/new`,
    );
    const made = shownKey(page.text);
    expect((await client(undefined, { key: made }).request("GET", "/api/v1/payments")).status).toBe(200);
    expect((await visitor.open(`${KEYS}/${publicId(made)}`)).text).toContain("the administrator");
  });

  it.each(["", "x", "0", "99999999"])("is told when the merchant %j is none", async (merchant_id) => {
    const visitor = await signedIn(env.ADMIN_KEY ?? "");
    const page = await visitor.fill(`${KEYS}/new`, { merchant_id, name: "x", scopes: "payments:read" });
    expect(page.status).toBe(422);
    expect(textOf(page.text)).toContain("merchant_id");
  });
});

it("who may not manage keys sees none of this", async () => {
  const visitor = await signedIn(await newKey(["payments:read"], merchant));
  expect((await visitor.open("/dashboard")).text).not.toContain(KEYS);
  for (const path of [KEYS, `${KEYS}/new`, `${KEYS}/${publicId(key)}`, `${KEYS}/${publicId(key)}/revoke`]) {
    const page = await visitor.open(path);
    expect([page.status, page.text], path).toEqual([403, expect.stringContaining("lacks the scope keys:manage")]);
  }
  expect((await administrator().request("GET", `/api/v1/api-keys/${publicId(key)}`)).body.status).toBe("active");
});

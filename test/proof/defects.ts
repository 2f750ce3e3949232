/**
 * Planted defects: each breaks one promise of the design in a copy of the project, and the tests must
 * notice (planting.ts). One that survives is a hole in the tests.
 */

export interface Defect {
  /** The promise that it breaks. */
  readonly breaks: string;
  readonly file: string;
  /** A text that stands in the file exactly once, and what it becomes. */
  readonly find: string;
  readonly replace: string;
  /** The worker tests that are known to notice it: they come first, for those before them are slow and do not. */
  readonly noticedBy?: string;
}

const CREATE = "src/payment/create.ts";
const RUN_ACTION = "src/payment/run-action.ts";
const CLASSIFY = "src/payment/classify.ts";
const FEED = "src/payment/feed.ts";
const OBJECT = "src/payment/object.ts";
const AUTHORIZE = "src/auth/authorize.ts";
const KEYS = "src/account/api-keys.ts";
const GRANTS = "src/account/routes/grants.ts";
const TRAIL = "src/account/trail.ts";
const CONFIGURATION = "src/auth/configuration.ts";
const LOCAL = "src/auth/local.ts";
const KEY_ROUTES = "src/account/routes/api-keys.ts";
const PAYMENT_ROUTES = "src/payment/routes/payments.ts";
const APP = "src/app.ts";
const HISTORY = "src/payment/history.ts";
const DELIVERIES = "src/webhook/deliveries.ts";
const SEND = "src/webhook/send.ts";

export const DEFECTS: readonly Defect[] = [
  {
    breaks: "the guard of an action is in the SQL",
    file: RUN_ACTION,
    find: `AND status IN (\${allowed})`,
    replace: "",
  },
  {
    breaks: "a key that is used up stops the action",
    file: RUN_ACTION,
    find: `AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = \${merchantId} AND key = \${key})`,
    replace: "",
  },
  {
    breaks: "one action at a time per payment",
    noticedBy: "payment/concurrency.test.ts",
    file: OBJECT,
    find: "this.#last.then(async () => {",
    replace: "Promise.resolve().then(async () => {",
  },
  {
    breaks: "an event only for a change",
    file: RUN_ACTION,
    find: `insertEvent(sql\`\${isIt} AND changes() = 1\``,
    replace: "insertEvent(isIt",
  },
  {
    breaks: "an event for every change",
    file: RUN_ACTION,
    find: "[keyBefore, change, event, insertKey, insertDeliveries(id, origin), after]",
    replace: "[keyBefore, change, null, insertKey, insertDeliveries(id, origin), after]",
  },
  {
    breaks: "only a success uses up its key",
    file: RUN_ACTION,
    find: "AND (changes() = 1$",
    replace: "AND (1$",
  },
  {
    breaks: "a repeated confirm uses up its key",
    file: RUN_ACTION,
    find: `repeatable ? sql\` OR status = \${to} AND \${isExpected}\` : sql\`\``,
    replace: `sql\`\``,
  },
  {
    breaks: "a creation's key with another request is refused",
    file: CREATE,
    find: `if (recorded !== fingerprint) return { tag: "key_reused" };`,
    replace: "",
  },
  {
    breaks: "an action's key with another request is refused",
    file: RUN_ACTION,
    find: "const isSame = key?.fingerprint === request.idempotency?.fingerprint;",
    replace: "const isSame = true;",
  },
  {
    breaks: "the fingerprint tells payments apart",
    file: "src/storage/idempotency.ts",
    find: "JSON.stringify([operation, subject, fields])",
    replace: "JSON.stringify([operation, fields])",
  },
  {
    breaks: "the fingerprint tells operations apart",
    file: "src/storage/idempotency.ts",
    find: "JSON.stringify([operation, subject, fields])",
    replace: "JSON.stringify([subject, fields])",
  },
  {
    breaks: "a key belongs to a merchant",
    noticedBy: "auth/access.test.ts",
    file: RUN_ACTION,
    find: `SELECT fingerprint FROM idempotency_keys WHERE merchant_id = \${merchantId} AND key`,
    replace: "SELECT fingerprint FROM idempotency_keys WHERE key",
  },
  {
    breaks: "a payment belongs to a merchant, for reads",
    noticedBy: "auth/access.test.ts",
    file: "src/payment/find.ts",
    find: `FROM payments WHERE id = \${id} AND merchant_id = \${merchantId}\``,
    replace: `FROM payments WHERE id = \${id}\``,
  },
  {
    breaks: "a payment belongs to a merchant, for actions",
    noticedBy: "auth/access.test.ts",
    file: RUN_ACTION,
    find: `WHERE \${isIt} AND status`,
    replace: `WHERE id = \${id} AND status`,
  },
  {
    breaks: "the answer is derived from the row, not from the request",
    file: CLASSIFY,
    find: "if (own_version !== null && own_updated_at !== null) {",
    replace: "if (own_version !== 0 && own_updated_at !== 0) {",
  },
  {
    breaks: "a creation is one batch",
    file: CREATE,
    find: "const { rows } = await db.batch<[Payment, never, never, never, DeliveryId]>(batch);",
    replace: `const { rows: first } = await db.batch<[Payment]>(batch.slice(0, 1));
    const { rows: rest } = await db.batch<[never, never, never, DeliveryId]>(batch.slice(1));
    const rows = [...first, ...rest] as const;`,
  },
  {
    breaks: "an action is one batch",
    file: RUN_ACTION,
    find: "const { rows, attempts } = await db.batch<Rows>(batch);",
    replace: `const first = await db.batch<IdempotencyKeyRow>(batch.slice(0, -3));
  const second = await db.batch<IdempotencyKeyRow>(batch.slice(-3));
  const attempts = Math.max(first.attempts, second.attempts);
  const rows = [...first.rows, ...second.rows] as unknown as BatchRows<Rows>;`,
  },
  {
    breaks: "money is not multiplied",
    file: "src/money/money.ts",
    find: `Number(digits.padEnd(magnitude + exponent, "0"))`,
    replace: "Math.trunc(Number(amount) * 10 ** exponent)",
  },
  {
    breaks: "an amount finer than the minor unit is refused, not rounded",
    file: "src/money/money.ts",
    find: "if (digits.length - magnitude > exponent) {",
    replace: "if (digits.length - magnitude > exponent + 1) {",
  },
  {
    breaks: "a creation whose answer was lost is found by its own retry",
    file: CREATE,
    find: "if (creator !== commitId)",
    replace: "if (creator)",
  },
  {
    breaks: "a creation found by its own retry is told as it was",
    file: CREATE,
    find: "const asItWas = { ...existing, status, version: 1, updated_at: existing.created_at };",
    replace: "const asItWas = existing;",
  },
  {
    breaks: "an action whose answer was lost is found by its own retry",
    file: RUN_ACTION,
    find: `json_each(event_positions)) AND own.commit_id = \${commitId}`,
    replace: `json_each(event_positions)) AND own.commit_id = \${commitId} AND own.sequence = payments.version`,
  },
  {
    breaks: "a body that is not UTF-8 is refused",
    noticedBy: "http/body.test.ts",
    file: "src/http/read-json.ts",
    find: "fatal: true",
    replace: "fatal: false",
  },
  {
    breaks: "a name that stands twice in a body is refused",
    noticedBy: "http/body.test.ts",
    file: "src/http/exact-json.ts",
    find: "names.add(name);",
    replace: "",
  },
  {
    breaks: "whoever asks for readiness makes D1 work once a second at most",
    noticedBy: "service/health.test.ts",
    file: "src/service/readiness.ts",
    find: "now - latest.at < MAX_AGE_MS",
    replace: "now < latest.at",
  },
  {
    breaks: "readiness asks the objects of payments",
    noticedBy: "service/health.test.ts",
    file: "src/service/readiness.ts",
    find: 'ask("payment_object", async () => env.PAYMENT.getByName(PROBE).ping()),',
    replace: "",
  },
  {
    breaks: "a body has 30 seconds to arrive",
    noticedBy: "http/body.test.ts",
    file: "src/http/read-json.ts",
    find: "BODY_TIMEOUT_MS = 30_000",
    replace: "BODY_TIMEOUT_MS = 36_000",
  },
  {
    breaks: "a refusal after a lost answer of D1 is no guess",
    file: RUN_ACTION,
    find: "if (attempts > 1 && isRefusal(result)) throw",
    replace: "if (attempts > 9 && isRefusal(result)) throw",
  },
  {
    breaks: "a refusal after a lost answer of an object is no guess",
    noticedBy: "payment/outage.test.ts",
    file: OBJECT,
    find: "if (attempts > 1) throw",
    replace: "if (attempts > 9) throw",
  },
  {
    breaks: "a refusal of a call that came twice is no guess",
    file: OBJECT,
    find: "&& this.#lost.includes(commitId)",
    replace: "&& this.#lost.length > 1_000",
  },
  {
    breaks: "the line of a payment has an end",
    noticedBy: "payment/concurrency.test.ts",
    file: OBJECT,
    find: "if (this.#waiting >= MAX_WAITING_CALLS) return",
    replace: "if (this.#waiting > 9 * MAX_WAITING_CALLS) return",
  },
  {
    breaks: "a call whose caller has hardly waited for it is not run",
    noticedBy: "payment/concurrency.test.ts",
    file: OBJECT,
    find: "if (Date.now() - arrivedAt > MAX_WAIT_MS) return",
    replace: "if (Date.now() - arrivedAt > 9 * MAX_WAIT_MS) return",
  },
  {
    breaks: "every attempt takes a fresh stub",
    noticedBy: "payment/outage.test.ts",
    file: OBJECT,
    find: `  const { acted, cost } = await withRetries(async (): Promise<Reply> => {
    attempts++;
    // A stub that failed may be broken for good, so every attempt takes a fresh one.
    return objects.getByName(name).run(`,
    replace: `  const stub = objects.getByName(name);
  const { acted, cost } = await withRetries(async (): Promise<Reply> => {
    attempts++;
    return stub.run(`,
  },
  {
    breaks: "a transient error of D1 is tried again",
    noticedBy: "payment/outage.test.ts",
    file: "src/storage/outage.ts",
    find: `return D1_TRANSIENT.test(error.message) ? "retry" : "outage";`,
    replace: `return "outage";`,
  },
  {
    breaks: "updated_at never goes back",
    file: RUN_ACTION,
    find: `updated_at = max(\${now}, newest.created_at)`,
    replace: `updated_at = \${now}`,
  },
  {
    breaks: "a confirmed payment confirmed again is unchanged",
    file: "src/payment/lifecycle.ts",
    find: `confirm: { from: ["pending"]`,
    replace: `confirm: { from: ["pending", "confirmed"]`,
  },
  {
    breaks: "an outage is a 503, not a 500",
    file: APP,
    find: `outage ? "unavailable" : "internal_error"`,
    replace: `"internal_error"`,
  },
  {
    breaks: "nobody is let in without a key",
    noticedBy: "auth/access.test.ts",
    file: AUTHORIZE,
    find: `if (c.env.AUTH_MODE !== "open") {`,
    replace: `if (c.env.AUTH_MODE === "") {`,
  },
  {
    breaks: "a request without the scope is refused",
    noticedBy: "auth/access.test.ts",
    file: AUTHORIZE,
    find: "return missing.length === 0 ? null : scopeMissing(c, missing);",
    replace: "return null;",
  },
  {
    breaks: "a revoked key is refused",
    file: AUTHORIZE,
    find: "record.revoked_at !== null || ",
    replace: "",
  },
  {
    breaks: "a revoked key is refused at once where it was revoked",
    noticedBy: "account/api-keys.test.ts",
    file: KEY_ROUTES,
    find: `if (revoked.tag === "revoked") forgetKeys(c.env, revoked.ids);`,
    replace: "",
  },
  {
    breaks: "a key that was revoked elsewhere is refused in time",
    file: AUTHORIZE,
    find: "if (remembered && now < remembered.until && equal(key, remembered.key)) {",
    replace: "if (remembered && equal(key, remembered.key)) {",
  },
  {
    breaks: "an expired key is refused",
    file: AUTHORIZE,
    find: " || hasExpired(record.expires_at, now)",
    replace: "",
  },
  {
    breaks: "a key that expires while it is remembered is refused",
    file: AUTHORIZE,
    find: "return hasExpired(principal.expiresAt, now) ? refuse(c, id) : principal;",
    replace: "return principal;",
  },
  {
    breaks: "the secret of a key is compared",
    noticedBy: "auth/access.test.ts",
    file: AUTHORIZE,
    find: "const isIt = equal(UTF8.encode(digest), UTF8.encode(record?.digest ?? NO_DIGEST));",
    replace: "const isIt = digest !== NO_DIGEST;",
  },
  {
    breaks: "the secret of a remembered key is compared",
    noticedBy: "account/api-keys.test.ts",
    file: AUTHORIZE,
    find: "now < remembered.until && equal(key, remembered.key)",
    replace: "now < remembered.until",
  },
  {
    breaks: "the secret of the administrator's key is compared",
    noticedBy: "auth/access.test.ts",
    file: AUTHORIZE,
    find: "return equal(UTF8.encode(presented), UTF8.encode(ADMIN_KEY));",
    replace: "return publicId(presented) === administratorId(ADMIN_KEY);",
  },
  {
    breaks: "a key beyond its rate is refused",
    noticedBy: "auth/rate-limit.test.ts",
    file: AUTHORIZE,
    find: `await refuseBeyond(c, "KEY_RATE", id)`,
    replace: "null",
  },
  {
    breaks: "a merchant beyond its rate is refused, with whatever key",
    noticedBy: "auth/rate-limit.test.ts",
    file: AUTHORIZE,
    find: `refuseBeyond(c, "MERCHANT_RATE", String(merchantId))`,
    replace: `refuseBeyond(c, "MERCHANT_RATE", id)`,
  },
  {
    breaks: "what was never issued is refused without a look-up",
    noticedBy: "auth/rate-limit.test.ts",
    file: "src/auth/api-key.ts",
    find: "difference(text, checksum)).includes(0)",
    replace: "difference(text, checksum)).length > 0",
  },
  {
    breaks: "a key that has ended is looked up once in a while",
    noticedBy: "auth/rate-limit.test.ts",
    file: AUTHORIZE,
    find: "remember(refused, id, { ...found, isDisabled: !hasEnded });",
    replace: "",
  },
  {
    breaks: "a wrong secret keeps nobody from the right one",
    noticedBy: "auth/rate-limit.test.ts",
    file: AUTHORIZE,
    find: "if (ended && now < ended.until && equal(key, ended.key)) {",
    replace: "if (ended && now < ended.until) {",
  },
  {
    breaks: "a key that ends while a body is on its way has ended",
    noticedBy: "auth/slow-body.test.ts",
    file: "src/route.ts",
    find: "scopes && (await authorizeAgain(c, scopes, schemas.body !== undefined))",
    replace: "null",
  },
  {
    breaks: "a change holds that the acting key is active",
    noticedBy: "auth/slow-body.test.ts",
    file: TRAIL,
    find: `first(sql\`NOT EXISTS (SELECT 1 \${applied}) AND \${isActive}\`)`,
    replace: `first(sql\`NOT EXISTS (SELECT 1 \${applied})\`)`,
  },
  {
    breaks: "a disabled merchant's key changes nothing",
    noticedBy: "auth/slow-body.test.ts",
    file: TRAIL,
    find: "AND actor.revoked_at IS NULL AND own.disabled_at IS NULL",
    replace: "AND actor.revoked_at IS NULL",
  },
  {
    breaks: "a disabled merchant's keys are refused",
    noticedBy: "account/containment.test.ts",
    file: AUTHORIZE,
    find: "if (hasEnded || record.merchant_disabled_at !== null) {",
    replace: "if (hasEnded) {",
  },
  {
    breaks: "what a key created ends with it",
    noticedBy: "account/containment.test.ts",
    file: KEYS,
    find: "UNION SELECT child.id FROM descendants",
    replace: "UNION SELECT child.id FROM (SELECT 1 AS id) AS descendants",
  },
  {
    breaks: "a key says what created it",
    noticedBy: "account/containment.test.ts",
    file: KEYS,
    find: "merchantId === ADMINISTRATOR_MERCHANT ? null : keyId;",
    replace: "merchantId >= ADMINISTRATOR_MERCHANT ? null : keyId;",
  },
  {
    breaks: "a merchant has so many active keys at most",
    noticedBy: "account/containment.test.ts",
    file: KEYS,
    find: `< \${MAX_ACTIVE_API_KEYS} RETURNING`,
    replace: "< 1000 RETURNING",
  },
  {
    breaks: "the administrator's idempotency keys are its own",
    noticedBy: "account/containment.test.ts",
    file: "src/context.ts",
    find: "export const ADMINISTRATOR_MERCHANT = 0;",
    replace: "export const ADMINISTRATOR_MERCHANT = 1;",
  },
  {
    breaks: "costly work has a quota of its own",
    noticedBy: "auth/leases.test.ts",
    file: "src/route.ts",
    find: "const beyond = isWork && scopes && (await refuseCostly(c));",
    replace: "const beyond = null;",
  },
  {
    breaks: "a merchant replays in two places at once, at most",
    noticedBy: "auth/leases.test.ts",
    file: "src/auth/leases.ts",
    find: `AND ends_at > \${now})`,
    replace: `AND ends_at > 2 * \${now})`,
  },
  {
    breaks: "a rate limit that is not bound is no configuration",
    noticedBy: "auth/access.test.ts",
    file: CONFIGURATION,
    find: "if (!env[name]) return",
    replace: "if (!env[name]) continue; else if (false) return",
  },
  {
    breaks: "a deployment without keys for checksums is no configuration",
    noticedBy: "auth/access.test.ts",
    file: CONFIGURATION,
    find: "if (!env.SECRETS_KEYS) return",
    replace: "if (!env.SECRETS_KEYS) return null &&",
  },
  {
    breaks: "an unknown AUTH_MODE is no configuration",
    noticedBy: "auth/access.test.ts",
    file: CONFIGURATION,
    find: `if (AUTH_MODE !== "open" && AUTH_MODE !== "required") {`,
    replace: "if (false) {",
  },
  {
    breaks: "a deployment without an administrator's key is no configuration",
    noticedBy: "auth/access.test.ts",
    file: CONFIGURATION,
    find: "if (!ADMIN_KEY) return",
    replace: "if (!ADMIN_KEY) return null &&",
  },
  {
    breaks: "a key that manages keys is looked at anew",
    noticedBy: "auth/slow-body.test.ts",
    file: AUTHORIZE,
    find: "MANAGEMENT_SCOPES.has(scope)",
    replace: "false",
  },
  {
    breaks: "no key makes one that outlives it",
    noticedBy: "account/api-keys.test.ts",
    file: GRANTS,
    find: "(expiresAt !== null && expiresAt <= own)",
    replace: "true",
  },
  {
    breaks: "open mode refuses the pages of other sites",
    noticedBy: "auth/access.test.ts",
    file: LOCAL,
    find: "(site === null || SAME_SITE.has(site)) && pages.every((page) => originOf(page)?.host === own.host)",
    replace: "true",
  },
  {
    breaks: "open mode refuses the pages of another port of this machine",
    noticedBy: "auth/access.test.ts",
    file: LOCAL,
    find: "originOf(page)?.host === own.host",
    replace: "originOf(page)?.hostname === own.hostname",
  },
  {
    breaks: "open mode answers this machine alone",
    noticedBy: "auth/access.test.ts",
    file: APP,
    find: `if (c.env.AUTH_MODE === "open" && !isLocal(c.req.raw)) return problem(c, "host_not_allowed");`,
    replace: "",
  },
  {
    breaks: "a host that only begins like this machine's is another",
    noticedBy: "auth/access.test.ts",
    file: LOCAL,
    find: "[::1\\])$/",
    replace: "[::1\\])/",
  },
  {
    breaks: "a merchant's list has its own payments only",
    noticedBy: "auth/access.test.ts",
    file: "src/payment/search.ts",
    find: `sql\`scanned.merchant_id = \${merchantId}\``,
    replace: `sql\`scanned.merchant_id > 0 * \${merchantId}\``,
  },
  {
    breaks: "a payment's events belong to its merchant",
    noticedBy: "auth/access.test.ts",
    file: HISTORY,
    find: `WHERE payments.id = \${paymentId} AND payments.merchant_id = \${merchantId} ORDER`,
    replace: `WHERE payments.id = \${paymentId} ORDER`,
  },
  {
    breaks: "another merchant's key cannot be read",
    noticedBy: "auth/access.test.ts",
    file: KEYS,
    find: `return key && (whose === "any merchant" || key.merchant_id === whose) ? key : null;`,
    replace: "return whose ? key : null;",
  },
  {
    breaks: "another merchant's key cannot be revoked",
    noticedBy: "auth/access.test.ts",
    file: KEYS,
    find: `WHERE id = \${id} AND \${whoseKeys(whose)} AND revoked_at IS NULL AND \${mayApply}`,
    replace: `WHERE id = \${id} AND revoked_at IS NULL AND \${mayApply}`,
  },
  {
    breaks: "another merchant's key cannot be renamed",
    noticedBy: "auth/access.test.ts",
    file: KEYS,
    find: `WHERE id = \${id} AND \${whoseKeys(whose)} AND name`,
    replace: `WHERE id = \${id} AND name`,
  },
  {
    breaks: "only an administrator names another merchant",
    noticedBy: "account/api-keys.test.ts",
    file: GRANTS,
    find: `named === undefined || named === merchantId || scopes.has("admin")`,
    replace: `named !== 0 || named === merchantId || scopes.has("admin")`,
  },
  {
    breaks: "a key hands on no scope that it lacks",
    noticedBy: "account/api-keys.test.ts",
    file: GRANTS,
    find: "scopes.filter((scope) => !own.has(scope))",
    replace: "scopes.filter(() => false)",
  },
  {
    breaks: "every change of an account has its event",
    noticedBy: "account/api-keys.test.ts",
    file: TRAIL,
    find: "FROM changed WHERE changes() = 1",
    replace: `FROM changed WHERE changes() = 1 AND \${type} NOT LIKE '%.renamed'`,
  },
  {
    breaks: "an event of an account only for a change",
    noticedBy: "account/api-keys.test.ts",
    file: TRAIL,
    find: "FROM changed WHERE changes() = 1",
    replace: `FROM changed WHERE NOT EXISTS (SELECT 1 FROM account_events WHERE commit_id = \${commitId})`,
  },
  {
    breaks: "If-Match is heeded",
    file: PAYMENT_ROUTES,
    find: "expected: tags && expectedVersions(tags)",
    replace: "expected: null",
  },
  {
    breaks: "the guard of If-Match is in the SQL",
    file: RUN_ACTION,
    find: `AND status IN (\${allowed}) AND \${isExpected}`,
    replace: `AND status IN (\${allowed})`,
  },
  {
    breaks: "a repetition heeds If-Match",
    file: CLASSIFY,
    find: "if (expected && !expected.includes(payment.version)) return",
    replace: `if (expected && !expected.includes(payment.version) && outcome(payment.status, action) !== "unchanged") return`,
  },
  {
    breaks: "a replay wins over If-Match",
    file: CLASSIFY,
    find: `if (keyBefore === "same request") return`,
    replace: `if (keyBefore === "same request" && expected && !expected.includes(payment.version))
    return { tag: "outdated", version: payment.version };
  if (keyBefore === "same request") return`,
  },
  {
    breaks: "a request is recognised by what the service made, not by what the caller calls it",
    file: APP,
    find: `c.set("commitId", commitId);`,
    replace: `c.set("commitId", given ?? commitId);`,
  },
  {
    breaks: "a payment is never older than one before it",
    file: CREATE,
    find: `max(\${now}, coalesce(created_at, 0)) AS time`,
    replace: `\${now} AS time`,
  },
  {
    breaks: "the fingerprint tells metadata apart",
    file: PAYMENT_ROUTES,
    find: "Object.keys(metadata).length > 0 ? { ...plain, metadata: Object.entries(metadata) } : plain",
    replace: "plain",
  },
  {
    breaks: "a creation without metadata keeps the fingerprint of the time before metadata",
    noticedBy: "payment/metadata.test.ts",
    file: PAYMENT_ROUTES,
    find: "Object.keys(metadata).length > 0 ? { ...plain, metadata: Object.entries(metadata) } : plain",
    replace: "{ ...plain, metadata: Object.entries(metadata) }",
  },
  {
    breaks: "a payment is found by its metadata",
    file: CREATE,
    find: "hasPairs ? insertMetadata : null",
    replace: "null",
  },
  {
    breaks: "the first event tells the metadata",
    file: CREATE,
    find: "hasPairs ? { ...made, metadata } : made",
    replace: "made",
  },
  {
    breaks: "a merchant's events have no gap",
    file: RUN_ACTION,
    find: "newest.position + 1)",
    replace: "newest.position + 1 + (newest.position % 5 = 4))",
  },
  {
    breaks: "the feed is a merchant's own",
    noticedBy: "payment/feed.test.ts",
    file: FEED,
    find: `WHERE seen.merchant_id = \${merchantId} AND seen.position > begin`,
    replace: `WHERE seen.merchant_id >= 0 * \${merchantId} AND seen.position > begin`,
  },
  {
    breaks: "a page of the feed ends where it was read to",
    noticedBy: "payment/feed.test.ts",
    file: FEED,
    find: "scanned === null ? last : Math.min(last, begin + scanned)",
    replace: "last",
  },
  {
    breaks: "a range of time of the feed includes its end",
    noticedBy: "payment/feed.test.ts",
    file: FEED,
    find: "firstFrom(merchantId, to + 1)",
    replace: "firstFrom(merchantId, to)",
  },
  {
    breaks: "an event is told as it was then",
    noticedBy: "payment/feed.test.ts",
    file: HISTORY,
    find: "AND event.position <= chosen.position",
    replace: "",
  },
  {
    breaks: "a revoked key's endpoints end with it",
    noticedBy: "webhook/containment.test.ts",
    file: KEYS,
    find: `url_set_by IN (SELECT \${id} UNION ALL SELECT id FROM descendants)`,
    replace: `url_set_by IN (SELECT \${id} UNION ALL SELECT id FROM descendants WHERE 0)`,
  },
  {
    breaks: "a URL that a stolen key set ends with it",
    noticedBy: "webhook/containment.test.ts",
    file: "src/webhook/endpoints.ts",
    find: `url_set_by = iif(url <> \${wantedUrl} OR `,
    replace: `url_set_by = iif(url <> url OR `,
  },
  {
    breaks: "a disabled merchant is sent nothing",
    noticedBy: "webhook/disabling.test.ts",
    file: DELIVERIES,
    find: "ON merchants.id = endpoint.merchant_id AND merchants.disabled_at IS NULL",
    replace: "ON merchants.id = endpoint.merchant_id",
  },
  {
    breaks: "an endpoint of a disabled merchant is left asleep",
    noticedBy: "webhook/disabling.test.ts",
    file: DELIVERIES,
    find: "iif(merchants.disabled_at IS NULL, (SELECT",
    replace: "iif(true, (SELECT",
  },
  {
    breaks: "an event of a payment waits for the one before it",
    noticedBy: "webhook/ordering.test.ts",
    file: "src/outbox/outbox.ts",
    find: `iif(waits, 'waiting', 'pending'), iif(waits, NULL, \${now})`,
    replace: `iif(waits AND 0, 'waiting', 'pending'), iif(waits AND 0, NULL, \${now})`,
  },
  {
    breaks: "an event that was taken lets the next one go",
    noticedBy: "webhook/ordering.test.ts",
    file: DELIVERIES,
    find: "[record, releaseNext, clearFailing]",
    replace: "[record, clearFailing]",
  },
  {
    breaks: "an event is delivered to the merchant's own endpoints only",
    noticedBy: "webhook/deliveries.test.ts",
    file: "src/outbox/outbox.ts",
    // Both, for each of the two conditions makes up for the other.
    find: `endpoint.merchant_id = \${merchantId} AND payments.id = \${payment}
      AND payments.merchant_id = endpoint.merchant_id`,
    replace: `\${merchantId} = \${merchantId} AND payments.id = \${payment}`,
  },
  {
    breaks: "an event is delivered to whoever receives its type only",
    noticedBy: "webhook/attempt.test.ts",
    file: "src/outbox/outbox.ts",
    find: `wanted.value = \${type}`,
    replace: "wanted.value <> ''",
  },
  {
    breaks: "an attempt is recorded once",
    noticedBy: "webhook/run.test.ts",
    file: DELIVERIES,
    find: `AND attempted = \${attempted}`,
    replace: `AND \${attempted} IS NOT NULL`,
  },
  {
    breaks: "a cancelled delivery stays cancelled",
    noticedBy: "webhook/deliveries.test.ts",
    file: DELIVERIES,
    find: `iif(state = 'pending', \${state}, state), next_attempt_at = iif(state = 'pending', \${next}, NULL)`,
    replace: `\${state}, next_attempt_at = \${next}`,
  },
  {
    breaks: "what the queue has lost is found by the sweep",
    noticedBy: "webhook/sweep.test.ts",
    file: "src/webhook/wake.ts",
    find: "now - OVERDUE_AFTER_MS",
    replace: "now - 1_000 * OVERDUE_AFTER_MS",
  },
  {
    breaks: "an endpoint that is woken keeps its pause",
    noticedBy: "webhook/outages.test.ts",
    file: "src/webhook/object.ts",
    find: "(await this.#pausedUntil()) ?? Date.now()",
    replace: "Date.now()",
  },
  {
    breaks: "an alarm that comes too soon keeps the pause",
    noticedBy: "webhook/outages.test.ts",
    file: "src/webhook/object.ts",
    find: "if (paused !== null) return",
    replace: "if (paused === 0) return",
  },
  {
    breaks: "an object is named by its merchant",
    file: "src/storage/object-name.ts",
    find: `return \`\${merchantId}:\${id}\`;`,
    replace: `return \`1:\${id}\`;`,
  },
  {
    breaks: "only a 2xx is a success",
    noticedBy: "webhook/attempt.test.ts",
    file: SEND,
    find: "status >= 200 && status < 300",
    replace: "status >= 200 && status < 500",
  },
  {
    breaks: "redirects are not followed",
    noticedBy: "webhook/attempt.test.ts",
    file: SEND,
    find: `redirect: "manual"`,
    replace: `redirect: "follow"`,
  },
  {
    breaks: "a URL is judged again before it is sent to",
    noticedBy: "webhook/attempt.test.ts",
    file: SEND,
    find: "if (!judged.ok) return",
    replace: `if (!judged.ok && url === "") return`,
  },
  {
    breaks: "a message is signed over its id, its time and its body",
    file: "src/webhook/signature.ts",
    find: `\`\${id}.\${timestamp}.`,
    replace: `\`\${timestamp}.`,
  },
  {
    breaks: "a secret that was rolled signs until its end",
    noticedBy: "webhook/attempt.test.ts",
    file: "src/webhook/endpoints.ts",
    find: "isValid ? previous_secret : null",
    replace: "null",
  },
  {
    breaks: "a webhook endpoint belongs to a merchant, for reads",
    noticedBy: "auth/access.test.ts",
    file: "src/webhook/endpoints.ts",
    find: `FROM webhook_endpoints WHERE id = \${id} AND merchant_id = \${merchantId}\``,
    replace: `FROM webhook_endpoints WHERE id = \${id} AND \${merchantId} > 0\``,
  },
  {
    breaks: "a webhook endpoint belongs to a merchant, for changes",
    noticedBy: "auth/access.test.ts",
    file: "src/webhook/endpoints.ts",
    find: `sql\`id = \${id} AND merchant_id = \${merchantId} AND deleted_at IS NULL\``,
    replace: `sql\`id = \${id} AND \${merchantId} > 0 AND deleted_at IS NULL\``,
  },
  {
    breaks: "nothing inside the network is sent events",
    file: "src/webhook/url.ts",
    find: "[...PRIVATE_DOMAINS, ...ADDRESS_DOMAINS].some(isWithin)",
    replace: "ADDRESS_DOMAINS.some(isWithin)",
  },
  {
    breaks: "no event goes to a name that spells a private address",
    file: "src/webhook/url.ts",
    find: "return inFour || inOne || inHex || inIpv6;",
    replace: "return inOne || inHex || inIpv6;",
  },
  {
    breaks: "no event goes to the operator's own domains",
    file: "src/webhook/url.ts",
    find: "if (ownDomains.some(isWithin)) return",
    replace: "if (ownDomains.length > 1_000) return",
  },
  {
    breaks: "no event goes to a port of something else",
    file: "src/webhook/url.ts",
    find: "if (!PORTS.includes(url.port)) return",
    replace: "if (PORTS.length === 0) return",
  },
  {
    breaks: "a service that others reach sends nothing to its own machine",
    file: "src/webhook/url.ts",
    find: "LOOPBACK.test(new URL(requestUrl).hostname);",
    replace: "requestUrl !== null;",
  },
  {
    breaks: "what went wrong below HTTP is not told to a merchant",
    noticedBy: "webhook/endpoints.test.ts",
    file: SEND,
    find: `return sent(null, "No connection", "");`,
    replace: `return sent(null, \`No connection to \${url}\`, "");`,
  },
  {
    breaks: "an answer is kept without control characters",
    noticedBy: "webhook/attempt.test.ts",
    file: SEND,
    find: `.replaceAll(CONTROLS, "\\ufffd")`,
    replace: "",
  },
  {
    breaks: "a page of the log ends at 1 MB",
    noticedBy: "webhook/deliveries.test.ts",
    file: "src/webhook/routes/deliveries.ts",
    find: "return n > 0 && bytes > MAX_PAGE_BYTES;",
    replace: "return n > items.length && bytes > MAX_PAGE_BYTES;",
  },
  {
    breaks: "tests of webhook endpoints have a quota of their own",
    noticedBy: "webhook/deliveries.test.ts",
    file: "src/webhook/routes/test-event.ts",
    find: "if (beyond) return beyond;",
    replace: "void beyond;",
  },
  {
    breaks: "retries of deliveries have a quota of their own",
    noticedBy: "webhook/deliveries.test.ts",
    file: "src/webhook/routes/deliveries.ts",
    find: "if (beyond) return beyond;",
    replace: "void beyond;",
  },
  {
    breaks: "nobody has events replayed who may not read them",
    noticedBy: "auth/access.test.ts",
    file: "src/webhook/routes/deliveries.ts",
    find: `requiresScope("webhooks:manage", "events:read")`,
    replace: `requiresScope("webhooks:manage")`,
  },
  {
    breaks: "nobody chooses where events are sent who may not read them",
    noticedBy: "auth/access.test.ts",
    file: "src/webhook/routes/endpoints.ts",
    find: `requiresScope("webhooks:manage", "events:read")`,
    replace: `requiresScope("webhooks:manage")`,
  },
  {
    breaks: "what an endpoint no longer receives is cancelled",
    noticedBy: "webhook/deliveries.test.ts",
    file: "src/webhook/cancelling.ts",
    find: `WHERE NOT \${receives("its.type")})`,
    replace: `WHERE NOT \${receives("its.type")} AND 0)`,
  },
  {
    breaks: "a deleted endpoint leaves no secret",
    noticedBy: "webhook/endpoints.test.ts",
    file: "src/webhook/endpoints.ts",
    find: "secret = NULL, previous_secret = NULL, previous_secret_ends_at = NULL\n",
    replace: "previous_secret = NULL, previous_secret_ends_at = NULL\n",
  },
  {
    breaks: "a refusal lists 100 violations at most",
    noticedBy: "http/problems.test.ts",
    file: "src/http/problem.ts",
    find: "{ errors: errors.slice(0, MAX_VIOLATIONS) }",
    replace: "{ errors }",
  },
  {
    breaks: "no links are longer than clients take",
    file: "src/http/pages.ts",
    find: "value.length <= MAX_LINK_LENGTH ? { Link: value } : {}",
    replace: "value === null ? {} : { Link: value }",
  },
  {
    breaks: "the administrator, who is no merchant, names the one that is meant",
    noticedBy: "account/containment.test.ts",
    file: "src/account/routes/grants.ts",
    find: "if (named === undefined && merchantId === ADMINISTRATOR_MERCHANT) {",
    replace: "if (named === null && merchantId === ADMINISTRATOR_MERCHANT) {",
  },
  {
    breaks: "what the queue gives up is logged",
    noticedBy: "webhook/sweep.test.ts",
    file: "src/index.ts",
    find: "if (batch.queue === DEAD_LETTERS) logDeadMessages(batch);",
    replace: "if (batch.queue === DEAD_LETTERS) batch.ackAll();",
  },
  {
    breaks: "an endpoint's deliveries are cancelled in steps",
    noticedBy: "webhook/deliveries.test.ts",
    file: "src/webhook/cancelling.ts",
    find: `WHERE endpoint_id = \${endpointId} AND next_attempt_at IS NOT NULL LIMIT \${DELIVERIES_PER_STEP}) AS chosen`,
    replace: `WHERE endpoint_id = \${endpointId} AND next_attempt_at IS NOT NULL) AS chosen`,
  },
  {
    breaks: "the sweep keeps young idempotency keys",
    noticedBy: "jobs/retention.test.ts",
    file: "src/jobs/retention.ts",
    find: "AND created_at < ?5 RETURNING",
    replace: "AND ?5 = ?5 RETURNING",
  },
];

/**
 * The file's text with the defect in it.
 *
 * @throws Error when what it replaces does not stand there exactly once, for then it tests nothing
 */
export function plant({ file, find, replace }: Defect, sound: string): string {
  if (sound.split(find).length !== 2) throw new Error(`Not once in ${file}: ${find}`);
  return sound.replace(find, () => replace);
}

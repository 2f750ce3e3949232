/**
 * Planted defects: each breaks one promise of the design in a copy of the project, and the tests must
 * notice. One that survives is a hole in the tests.
 */
import { execFile, execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

export const PROJECT = path.join(import.meta.dirname, "../..");

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

const STORE = "src/payment/store.ts";
const OBJECT = "src/payment/object.ts";
const AUTHORIZE = "src/access/authorize.ts";
const KEYS = "src/access/keys.ts";
const KEY_ROUTES = "src/routes/api-keys.ts";
const PAYMENT_ROUTES = "src/routes/payments.ts";
const APP = "src/app.ts";

export const DEFECTS: readonly Defect[] = [
  {
    breaks: "the guard of an action is in the SQL",
    file: STORE,
    find: `AND status IN (\${from.map((status) => \`'\${status}'\`).join(", ")})`,
    replace: "",
  },
  {
    breaks: "a key that is used up stops the action",
    file: STORE,
    find: "AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = ?3 AND key = ?4)",
    replace: "AND (1 OR ?4)",
  },
  {
    breaks: "one action at a time per payment",
    noticedBy: "concurrency.test.ts",
    file: OBJECT,
    find: "this.#last.then(async () => {",
    replace: "Promise.resolve().then(async () => {",
  },
  {
    breaks: "an event only for a change",
    file: STORE,
    find: "WHERE id = ? AND merchant_id = ? AND changes() = 1`",
    replace: "WHERE id = ? AND merchant_id = ?`",
  },
  {
    breaks: "an event for every change",
    file: STORE,
    find: "[change, event, after]",
    replace: "[change, after]",
  },
  {
    breaks: "only a success uses up its key",
    file: STORE,
    find: "AND (changes() = 1$",
    replace: "AND (1$",
  },
  {
    breaks: "a repeated confirm uses up its key",
    file: STORE,
    find: `\${repeatable ? \` OR status = '\${to}'\${guard}\` : ""}`,
    replace: "",
  },
  {
    breaks: "a creation's key with another request is refused",
    file: STORE,
    find: `if (recorded !== fingerprint) return { tag: "key_reused" };`,
    replace: "",
  },
  {
    breaks: "an action's key with another request is refused",
    file: STORE,
    find: "if (key && key.fingerprint === idempotency?.fingerprint)",
    replace: "if (key)",
  },
  {
    breaks: "the fingerprint tells payments apart",
    file: "src/idempotency.ts",
    find: "JSON.stringify([operation, subject, fields])",
    replace: "JSON.stringify([operation, fields])",
  },
  {
    breaks: "the fingerprint tells operations apart",
    file: "src/idempotency.ts",
    find: "JSON.stringify([operation, subject, fields])",
    replace: "JSON.stringify([subject, fields])",
  },
  {
    breaks: "a key belongs to a merchant",
    noticedBy: "access.test.ts",
    file: STORE,
    find: `KEY_BEFORE = "SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ? AND key = ?"`,
    replace: `KEY_BEFORE = "SELECT fingerprint FROM idempotency_keys WHERE ?1 = ?1 AND key = ?2"`,
  },
  {
    breaks: "a payment belongs to a merchant, for reads",
    noticedBy: "access.test.ts",
    file: STORE,
    find: "FROM payments WHERE id = ? AND merchant_id = ?`;",
    replace: "FROM payments WHERE id = ?1 AND ?2 = ?2`;",
  },
  {
    breaks: "a payment belongs to a merchant, for actions",
    noticedBy: "access.test.ts",
    file: STORE,
    find: "WHERE id = ?2 AND merchant_id = ?3 AND status",
    replace: "WHERE id = ?2 AND ?3 = ?3 AND status",
  },
  {
    breaks: "the answer is derived from the row, not from the request",
    file: STORE,
    find: "if (own_version !== null && own_updated_at !== null) {",
    replace: "if (own_version !== 0 && own_updated_at !== 0) {",
  },
  {
    breaks: "a creation is one batch",
    file: STORE,
    find: "const { rows } = await db.batch<Payment>(batch);",
    replace: `const { rows } = await db.batch<Payment>(batch.slice(0, 1));
    await db.batch(batch.slice(1));`,
  },
  {
    breaks: "an action is one batch",
    file: STORE,
    find: "const { rows, attempts } = await db.batch<KeyBefore | PaymentAfter>(batch);",
    replace: `const first = await db.batch<KeyBefore | PaymentAfter>(batch.slice(0, -2));
  const second = await db.batch<KeyBefore | PaymentAfter>(batch.slice(-2));
  const [rows, attempts] = [[...first.rows, ...second.rows], Math.max(first.attempts, second.attempts)];`,
  },
  {
    breaks: "money is not multiplied",
    file: "src/payment/money.ts",
    find: `Number(digits.padEnd(magnitude + exponent, "0"))`,
    replace: "Math.trunc(Number(amount) * 10 ** exponent)",
  },
  {
    breaks: "an amount finer than the minor unit is refused, not rounded",
    file: "src/payment/money.ts",
    find: "if (digits.length - magnitude > exponent) {",
    replace: "if (digits.length - magnitude > exponent + 1) {",
  },
  {
    breaks: "a creation whose answer was lost is found by its own retry",
    file: STORE,
    find: "if (creator !== commitId)",
    replace: "if (creator)",
  },
  {
    breaks: "a creation found by its own retry is told as it was",
    file: STORE,
    find: "payment: { ...existing, status, version: 1, updated_at: existing.created_at }",
    replace: "payment: existing",
  },
  {
    breaks: "an action whose answer was lost is found by its own retry",
    file: STORE,
    find: "own.payment_id = payments.id AND own.commit_id = ?",
    replace: "own.payment_id = payments.id AND own.commit_id = ? AND own.sequence = payments.version",
  },
  {
    breaks: "a refusal after a lost answer of D1 is no guess",
    file: STORE,
    find: "if (attempts > 1) throw",
    replace: "if (attempts > 9) throw",
  },
  {
    breaks: "a refusal after a lost answer of an object is no guess",
    noticedBy: "outage.test.ts",
    file: OBJECT,
    find: "if (attempts > 1) throw",
    replace: "if (attempts > 9) throw",
  },
  {
    breaks: "every attempt takes a fresh stub",
    noticedBy: "outage.test.ts",
    file: OBJECT,
    find: `  const { acted, cost } = await withRetries(async (): Promise<Reply> => {
    attempts++;
    // A stub that failed may be broken for good, so every attempt takes a fresh one.
    return objects.getByName(String(id)).act(`,
    replace: `  const stub = objects.getByName(String(id));
  const { acted, cost } = await withRetries(async (): Promise<Reply> => {
    attempts++;
    return stub.act(`,
  },
  {
    breaks: "a transient error of D1 is tried again",
    noticedBy: "outage.test.ts",
    file: "src/outage.ts",
    find: `return D1_TRANSIENT.test(error.message) ? "retry" : "outage";`,
    replace: `return "outage";`,
  },
  {
    breaks: "updated_at never goes back",
    file: STORE,
    find: "updated_at = max(updated_at, ?1)",
    replace: "updated_at = ?1",
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
    noticedBy: "access.test.ts",
    file: AUTHORIZE,
    find: `AUTH_MODE === "open" ? ANYBODY : null`,
    replace: "AUTH_MODE ? ANYBODY : null",
  },
  {
    breaks: "a request without the scope is refused",
    noticedBy: "access.test.ts",
    file: AUTHORIZE,
    find: "return principal.scopes.has(scope) ? null : scopeMissing(c, [scope]);",
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
    noticedBy: "api-keys.test.ts",
    file: KEY_ROUTES,
    find: `if (revoked.tag === "changed") forget(c.env, params.key_id);`,
    replace: "",
  },
  {
    breaks: "a key that was revoked elsewhere is refused in time",
    file: AUTHORIZE,
    find: "if (remembered && now < remembered.until) {",
    replace: "if (remembered) {",
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
    find: " && !hasExpired(remembered.expiresAt, now)",
    replace: "",
  },
  {
    breaks: "the secret of a key is compared",
    noticedBy: "access.test.ts",
    file: AUTHORIZE,
    find: "const isIt = equal(UTF8.encode(digest), UTF8.encode(record?.digest ?? NO_DIGEST));",
    replace: "const isIt = digest !== NO_DIGEST;",
  },
  {
    breaks: "the secret of a remembered key is compared",
    noticedBy: "api-keys.test.ts",
    file: AUTHORIZE,
    find: "const isIt = equal(UTF8.encode(presented), remembered.key) && ",
    replace: "const isIt = ",
  },
  {
    breaks: "the secret of the administrator's key is compared",
    noticedBy: "access.test.ts",
    file: AUTHORIZE,
    find: "if (!equal(UTF8.encode(presented), UTF8.encode(c.env.ADMIN_KEY))) return refuse(c, memory);",
    replace: "",
  },
  {
    breaks: "a key beyond its rate is refused",
    noticedBy: "rate-limit.test.ts",
    file: AUTHORIZE,
    find: "!(await isWithin(c.env.KEY_RATE, principal.keyId))",
    replace: "false",
  },
  {
    breaks: "an unknown AUTH_MODE is no configuration",
    noticedBy: "access.test.ts",
    file: AUTHORIZE,
    find: `if (AUTH_MODE === "open") return null;`,
    replace: `if (AUTH_MODE !== "required") return null;`,
  },
  {
    breaks: "a deployment without an administrator's key is no configuration",
    noticedBy: "access.test.ts",
    file: AUTHORIZE,
    find: "if (!ADMIN_KEY) return",
    replace: "if (!ADMIN_KEY) return null &&",
  },
  {
    breaks: "open mode answers this machine alone",
    noticedBy: "access.test.ts",
    file: APP,
    find: `if (c.env.AUTH_MODE === "open" && !isLoopback(c.req.url)) return problem(c, "host_not_allowed");`,
    replace: "",
  },
  {
    breaks: "a host that only begins like this machine's is another",
    noticedBy: "access.test.ts",
    file: AUTHORIZE,
    find: "[::1\\])$/",
    replace: "[::1\\])/",
  },
  {
    breaks: "a merchant's list has its own payments only",
    noticedBy: "access.test.ts",
    file: "src/payment/search.ts",
    find: "WHERE walked.merchant_id = ?`, merchantId)",
    replace: "WHERE walked.merchant_id > 0 * ?`, merchantId)",
  },
  {
    breaks: "a payment's events belong to its merchant",
    noticedBy: "access.test.ts",
    file: "src/payment/history.ts",
    find: "WHERE payment_events.payment_id = ? AND payments.merchant_id = ? ORDER",
    replace: "WHERE payment_events.payment_id = ?1 AND ?2 = ?2 ORDER",
  },
  {
    breaks: "another merchant's key cannot be read",
    noticedBy: "access.test.ts",
    file: KEYS,
    find: `return key && (whose === "any merchant" || key.merchant_id === whose) ? key : null;`,
    replace: "return whose ? key : null;",
  },
  {
    breaks: "another merchant's key cannot be revoked",
    noticedBy: "access.test.ts",
    file: KEYS,
    find: "WHERE id = ?5 AND merchant_id = coalesce(?6, merchant_id) AND revoked_at IS NULL",
    replace: "WHERE id = ?5 AND coalesce(?6, 1) AND revoked_at IS NULL",
  },
  {
    breaks: "another merchant's key cannot be renamed",
    noticedBy: "access.test.ts",
    file: KEYS,
    find: "WHERE id = ?5 AND merchant_id = coalesce(?6, merchant_id) AND name",
    replace: "WHERE id = ?5 AND coalesce(?6, 1) AND name",
  },
  {
    breaks: "only an administrator names another merchant",
    noticedBy: "api-keys.test.ts",
    file: KEY_ROUTES,
    find: `named === undefined || named === merchantId || scopes.has("admin")`,
    replace: `named !== 0 || named === merchantId || scopes.has("admin")`,
  },
  {
    breaks: "a key hands on no scope that it lacks",
    noticedBy: "api-keys.test.ts",
    file: KEY_ROUTES,
    find: "scopes.filter((scope) => !own.has(scope))",
    replace: "scopes.filter(() => false)",
  },
  {
    breaks: "every change of an account has its event",
    noticedBy: "api-keys.test.ts",
    file: "src/access/trail.ts",
    find: "AS subject WHERE changes() = 1",
    replace: "AS subject WHERE changes() = 1 AND ?5 NOT LIKE '%.renamed'",
  },
  {
    breaks: "an event of an account only for a change",
    noticedBy: "api-keys.test.ts",
    file: "src/access/trail.ts",
    find: "AS subject WHERE changes() = 1",
    replace: "AS subject WHERE NOT EXISTS (SELECT 1 FROM account_events WHERE commit_id = ?1)",
  },
  {
    breaks: "If-Match is heeded",
    file: PAYMENT_ROUTES,
    find: "expected: tags && expectedVersions(tags)",
    replace: "expected: null",
  },
  {
    breaks: "the guard of If-Match is in the SQL",
    file: STORE,
    find: "AND version IN (SELECT value FROM json_each(?5))",
    replace: "AND ?5 = ?5",
  },
  {
    breaks: "a repetition heeds If-Match",
    file: STORE,
    find: "(expected?.includes(found.version) ?? true)",
    replace: "true",
  },
  {
    breaks: "a replay wins over If-Match",
    file: STORE,
    find: "if (key && key.fingerprint === idempotency?.fingerprint)",
    replace: `if (key && expected && !expected.includes(payment.version)) return { tag: "outdated", version: payment.version };
    if (key && key.fingerprint === idempotency?.fingerprint)`,
  },
  {
    breaks: "a request is recognised by what the service made, not by what the caller calls it",
    file: APP,
    find: `c.set("commitId", commitId);`,
    replace: `c.set("commitId", given ?? commitId);`,
  },
  {
    breaks: "a payment is never older than one before it",
    file: STORE,
    find: "max(?7, coalesce((SELECT max(created_at) FROM payments WHERE merchant_id = ?1), 0)) AS time",
    replace: "?7 AS time",
  },
  {
    breaks: "the fingerprint tells metadata apart",
    file: PAYMENT_ROUTES,
    find: "Object.keys(metadata).length > 0 ? { ...plain, metadata: Object.entries(metadata) } : plain",
    replace: "plain",
  },
  {
    breaks: "a payment is found by its metadata",
    file: STORE,
    find: "...(hasPairs ? [db.prepare(INSERT_ITS_METADATA)] : []),",
    replace: "",
  },
  {
    breaks: "the first event tells the metadata",
    file: STORE,
    find: "hasPairs ? { ...made, metadata } : made",
    replace: "made",
  },
  {
    breaks: "the sweep keeps young idempotency keys",
    noticedBy: "retention.test.ts",
    file: "src/retention.ts",
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

/** Tests that are quick come first; the first that fails has caught the defect. */
const SUITES = [
  [
    "unit and simulation",
    ["--project", "unit", "--project", "proof", "unit/", "model.test", "histories.test", "keys.test"],
  ],
  ["worker", ["--project", "worker"]],
] as const;

export interface Verdict {
  readonly defect: Defect;
  /** The suite and the test that noticed; null when the defect survived. */
  readonly caughtBy: string | null;
}

/**
 * Plants each defect in a copy of the project and runs the tests there.
 *
 * @param report is told of each verdict as it falls
 * @throws Error when a defect's text does not stand in its file exactly once, for then it tests nothing
 */
export async function plantDefects(report: (verdict: Verdict) => void): Promise<readonly Verdict[]> {
  const copy = mkdtempSync(path.join(tmpdir(), "payments-defects-"));
  try {
    const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: PROJECT, encoding: "utf8" });
    for (const file of files.trim().split("\n")) {
      cpSync(path.join(PROJECT, file), path.join(copy, file), { recursive: true });
    }
    symlinkSync(path.join(PROJECT, "node_modules"), path.join(copy, "node_modules"));
    if ((await run(copy, SUITES[0][1])) !== null) throw new Error("The tests fail without any defect");

    const verdicts: Verdict[] = [];
    for (const defect of DEFECTS) {
      const target = path.join(copy, defect.file);
      const sound = readFileSync(target, "utf8");
      writeFileSync(target, plant(defect, sound));
      let caughtBy: string | null = null;
      const { noticedBy } = defect;
      const known = noticedBy ? [["worker", ["--project", "worker", noticedBy]] as const] : [];
      for (const [name, args] of [...known, ...SUITES]) {
        const failed: string | null = caughtBy === null ? await run(copy, args) : null;
        if (failed !== null) caughtBy = `${name}: ${failed}`;
      }
      writeFileSync(target, sound);
      verdicts.push({ defect, caughtBy });
      report({ defect, caughtBy });
    }
    return verdicts;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Runs tests up to the first that fails, and names it; null when all pass. */
async function run(directory: string, args: readonly string[]): Promise<string | null> {
  const vitest = path.join(PROJECT, "node_modules/vitest/vitest.mjs");
  const env = { ...process.env, NO_COLOR: "1", PROOF_HISTORIES: "1500" };
  try {
    await promisify(execFile)(process.execPath, [vitest, "run", "--bail", "1", ...args], {
      cwd: directory,
      env,
      timeout: 300_000,
      maxBuffer: 2 ** 26,
    });
    return null;
  } catch (error) {
    const output =
      error instanceof Error && "stdout" in error
        ? String(error.stdout) + String(Reflect.get(error, "stderr"))
        : String(error);
    return /FAIL\s+\|\w+\| (.*)/.exec(output)?.[1]?.trim() ?? "the tests do not run";
  }
}

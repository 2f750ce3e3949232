/**
 * Planted defects: each breaks one promise of the design in a copy of the project, and the tests must
 * notice. One that survives is a hole in the tests.
 */
import { execFile, execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const PROJECT = path.join(import.meta.dirname, "../..");

export interface Defect {
  /** The promise that it breaks. */
  readonly breaks: string;
  readonly file: string;
  /** A text that stands in the file exactly once, and what it becomes. */
  readonly find: string;
  readonly replace: string;
}

const STORE = "src/payment/store.ts";
const OBJECT = "src/payment/object.ts";

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
    file: OBJECT,
    find: "this.#last.then(() => this.#act(origin, action, idempotency))",
    replace: "this.#act(origin, action, idempotency)",
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
    find: `\${repeatable ? \` OR status = '\${to}'\` : ""}`,
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
    find: "JSON.stringify([operation, paymentId, fields])",
    replace: "JSON.stringify([operation, fields])",
  },
  {
    breaks: "the fingerprint tells operations apart",
    file: "src/idempotency.ts",
    find: "JSON.stringify([operation, paymentId, fields])",
    replace: "JSON.stringify([paymentId, fields])",
  },
  {
    breaks: "a key belongs to a merchant",
    file: STORE,
    find: `KEY_BEFORE = "SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ? AND key = ?"`,
    replace: `KEY_BEFORE = "SELECT fingerprint FROM idempotency_keys WHERE ?1 = ?1 AND key = ?2"`,
  },
  {
    breaks: "a payment belongs to a merchant, for reads",
    file: STORE,
    find: "FROM payments WHERE id = ? AND merchant_id = ?`;",
    replace: "FROM payments WHERE id = ?1 AND ?2 = ?2`;",
  },
  {
    breaks: "a payment belongs to a merchant, for actions",
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
    find: "const [inserted] = await withRetries(() => db.batch<Payment>(batch), judgeD1);",
    replace: `const [inserted] = await withRetries(async () => {
      const first = await db.batch<Payment>(batch.slice(0, 1));
      await db.batch(batch.slice(1));
      return first;
    }, judgeD1);`,
  },
  {
    breaks: "an action is one batch",
    file: STORE,
    find: "return db.batch<KeyBefore | PaymentAfter>(batch);",
    replace: `return db
      .batch<KeyBefore | PaymentAfter>(batch.slice(0, -2))
      .then(async (before) => [...before, ...(await db.batch<KeyBefore | PaymentAfter>(batch.slice(-2)))]);`,
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
    find: "if (creator !== requestId)",
    replace: "if (creator)",
  },
  {
    breaks: "a creation found by its own retry is told as it was",
    file: STORE,
    find: "payment: { ...payment, status, version: 1, updated_at: payment.created_at }",
    replace: "payment",
  },
  {
    breaks: "an action whose answer was lost is found by its own retry",
    file: STORE,
    find: "own.payment_id = payments.id AND own.request_id = ?",
    replace: "own.payment_id = payments.id AND own.request_id = ? AND own.sequence = payments.version",
  },
  {
    breaks: "a refusal after a lost answer of D1 is no guess",
    file: STORE,
    find: "if (attempts > 1) throw",
    replace: "if (attempts > 9) throw",
  },
  {
    breaks: "a refusal after a lost answer of an object is no guess",
    file: OBJECT,
    find: "if (attempts > 1) throw",
    replace: "if (attempts > 9) throw",
  },
  {
    breaks: "every attempt takes a fresh stub",
    file: OBJECT,
    find: `  const reply = await withRetries(async (): Promise<Reply> => {
    attempts++;
    // A stub that failed may be broken for good, so every attempt takes a fresh one.
    return objects.getByName(String(id)).act(`,
    replace: `  const stub = objects.getByName(String(id));
  const reply = await withRetries(async (): Promise<Reply> => {
    attempts++;
    return stub.act(`,
  },
  {
    breaks: "a transient error of D1 is tried again",
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
    file: "src/app.ts",
    find: `outage ? "unavailable" : "internal_error"`,
    replace: `"internal_error"`,
  },
];

/** Tests that are quick come first; the first that fails has caught the defect. */
const SUITES = [
  ["unit and simulation", ["--project", "unit", "--project", "proof", "unit/", "model.test", "histories.test"]],
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
      if (sound.split(defect.find).length !== 2) throw new Error(`Not once in ${defect.file}: ${defect.find}`);
      writeFileSync(
        target,
        sound.replace(defect.find, () => defect.replace),
      );
      let caughtBy: string | null = null;
      for (const [name, args] of SUITES) {
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

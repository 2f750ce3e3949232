/**
 * Outages of what the service stands on: which errors are worth another try, which are an outage, and
 * which are a bug of ours.
 */

/** D1 or a payment's object is out of reach, also after retries. The change may have happened. */
export class Outage extends Error {
  override readonly name = "Outage";

  constructor(cause: unknown) {
    super("Out of reach after retries", { cause });
  }
}

export type Retryability = "retry" | "outage" | "bug";

/** Pauses before the second and third attempt, in milliseconds, each drawn from half to one and a half. */
const RETRY_PAUSES_MS = [20, 100];

/**
 * Runs `attempt` up to three times, while `classify` finds its error worth another try.
 *
 * @param attempt something that is safe to run twice
 * @throws Outage when the tries are used up or another is no use; the error itself when it is a bug
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  classify: (error: unknown) => Retryability,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      const retryability = classify(error);
      if (retryability === "bug") throw error;
      const pause = RETRY_PAUSES_MS[failures];
      if (retryability === "outage" || pause === undefined) throw new Outage(error);
      await scheduler.wait(pause * (0.5 + Math.random()));
    }
  }
}

// D1 errors carry no code; the texts are those of "Debug D1" in Cloudflare's documentation.
const D1_BUG = /SQLITE_(ERROR|CONSTRAINT|MISMATCH|RANGE|TOOBIG|AUTH)|D1_(TYPE_ERROR|EXEC_ERROR|COLUMN_NOTFOUND)/;
const D1_TRANSIENT =
  /Network connection lost|caused object to be reset|reset because its code was updated|transient issue/;

/** Classifies an error that a D1 call threw. A write that was answered by a transient one may have committed. */
export function classifyD1Error(error: unknown): Retryability {
  if (!(error instanceof Error) || error.name !== "Error" || D1_BUG.test(error.message)) return "bug";
  return D1_TRANSIENT.test(error.message) ? "retry" : "outage";
}

/** Classifies an error that a call to an object threw, by the marks that the runtime leaves on it. */
export function classifyObjectError(error: unknown): Retryability {
  if (!(error instanceof Error) || error.name !== "Error") return "bug";
  const marked = (mark: "retryable" | "overloaded") => Reflect.get(error, mark) === true;
  return marked("retryable") && !marked("overloaded") ? "retry" : "outage";
}

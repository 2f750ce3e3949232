import { afterEach, describe, expect, it, vi } from "vitest";
import { classifyD1Error, classifyObjectError, Outage, withRetries } from "../../../src/storage/outage";

describe("a call with retries", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  /** Makes a call whose attempts come to these one after another, and tells what was waited for in between, in milliseconds. */
  async function call(random: number, classify: () => "retry" | "outage" | "bug", ...attempts: (Error | string)[]) {
    const waits: number[] = [];
    vi.stubGlobal("scheduler", { wait: async (ms: number) => waits.push(ms) });
    vi.spyOn(Math, "random").mockReturnValue(random);
    const left = [...attempts];
    const attempt = async () => {
      const next = left.shift();
      if (typeof next === "string") return next;
      throw next ?? new Error("No further attempt");
    };
    const result = await withRetries(attempt, classify).catch((error: unknown) => error);
    return { result, waits, attempts: attempts.length - left.length };
  }
  const [first, second, third] = [new Error("1"), new Error("2"), new Error("3")];

  it("is made once when it succeeds", async () => {
    expect(await call(0, () => "retry", "done")).toEqual({ result: "done", waits: [], attempts: 1 });
  });

  it("waits from half to one and a half of 20 ms and of 100 ms before the next attempts", async () => {
    expect(await call(0, () => "retry", first, second, "done")).toEqual({
      result: "done",
      waits: [10, 50],
      attempts: 3,
    });
    expect(await call(1, () => "retry", first, second, "done")).toMatchObject({ waits: [30, 150] });
  });

  it("is an outage after the third failure, and says of it the last one", async () => {
    const { result, waits, attempts } = await call(0.5, () => "retry", first, second, third, "late");
    expect(result).toBeInstanceOf(Outage);
    expect(result).toMatchObject({ name: "Outage", message: "Out of reach after retries", cause: third });
    expect({ waits, attempts }).toEqual({ waits: [20, 100], attempts: 3 });
  });

  it("is an outage at once where another attempt is no use", async () => {
    const { result, waits } = await call(0, () => "outage", first, "late");
    expect(result).toMatchObject({ name: "Outage", cause: first });
    expect(waits).toEqual([]);
  });

  it("fails with a bug's own error, and at once", async () => {
    expect(await call(0, () => "bug", first, "late")).toEqual({ result: first, waits: [], attempts: 1 });
  });
});

describe("an error of D1", () => {
  it.each([
    // What "Debug D1" in Cloudflare's documentation calls worth another try.
    "D1_ERROR: Network connection lost.",
    "D1_ERROR: D1 DB storage operation exceeded timeout which caused object to be reset.",
    "D1_ERROR: Internal error while starting up D1 DB storage caused object to be reset.",
    "D1_ERROR: D1 DB reset because its code was updated.",
    "D1_ERROR: Cannot resolve D1 DB due to transient issue on remote node.",
  ])("is tried again: %s", (message) => {
    expect(classifyD1Error(new Error(message))).toBe("retry");
  });

  it.each(["D1_ERROR: Too many requests queued.", "D1_ERROR: something new", ""])("is an outage: %j", (message) => {
    expect(classifyD1Error(new Error(message))).toBe("outage");
  });

  it.each([
    new Error("D1_ERROR: no such table: payments: SQLITE_ERROR"),
    new Error("D1_ERROR: UNIQUE constraint failed: payments.id: SQLITE_CONSTRAINT"),
    new TypeError("Network connection lost."),
    new RangeError("Network connection lost."),
    "Network connection lost.",
    { name: "Error", message: "Network connection lost." },
    null,
    undefined,
  ])("is a bug of ours: %s", (error) => {
    expect(classifyD1Error(error)).toBe("bug");
  });
});

describe("an error of an object", () => {
  const marked = (marks: object) => Object.assign(new Error("The object broke"), marks);

  it("is tried again when the runtime says so, and not when the object has too much to do", () => {
    expect(classifyObjectError(marked({ retryable: true }))).toBe("retry");
    expect(classifyObjectError(marked({ retryable: true, overloaded: true }))).toBe("outage");
    expect(classifyObjectError(marked({ overloaded: true }))).toBe("outage");
    expect(classifyObjectError(marked({}))).toBe("outage");
    expect(classifyObjectError(marked({ retryable: "yes" }))).toBe("outage");
  });

  it("is a bug of ours when it is none of the runtime's", () => {
    const bug = Object.assign(new TypeError("x is not a function"), { retryable: true });
    for (const error of [bug, { ...marked({ retryable: true }) }, null, "retryable"]) {
      expect(classifyObjectError(error)).toBe("bug");
    }
  });
});

import { describe, expect, it } from "vitest";
import { classifyD1Error, classifyObjectError } from "../../../src/storage/outage";

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

import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { nextAttempt, readRetryAfter } from "../../../src/webhook/schedule";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const NOW = Date.parse("2026-11-03T20:26:10.344Z");

/** The first ones soon, for whoever tries webhooks; then as in the example of the Standard Webhooks specification. */
const STEPS: [failures: number, step: number][] = [
  [1, 5 * SECOND],
  [2, 30 * SECOND],
  [3, 2 * MINUTE],
  [4, 5 * MINUTE],
  [5, 15 * MINUTE],
  [6, 30 * MINUTE],
  [7, 2 * HOUR],
  [8, 5 * HOUR],
  [9, 10 * HOUR],
  [10, 14 * HOUR],
  [11, 20 * HOUR],
  [12, 24 * HOUR],
];

const aFailure = fc.constantFrom(...STEPS);
/** As `Math.random` makes them. */
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("the next attempt", () => {
  it.each(STEPS)("after failure %i comes %i ms later, or up to a fifth more", (failures, step) => {
    expect(nextAttempt(failures, NOW, null, 0)).toBe(NOW + step);
    expect(nextAttempt(failures, NOW, null, 0.5)).toBe(NOW + step * 1.1);
    expect(nextAttempt(failures, NOW, null, 1)).toBe(NOW + step * 1.2);
  });

  it("comes no more after the thirteenth failure, whatever the endpoint asks for", () => {
    for (const failures of [13, 14, 100]) {
      expect(nextAttempt(failures, NOW, null, 0)).toBeNull();
      expect(nextAttempt(failures, NOW, HOUR, 1)).toBeNull();
    }
  });

  it("is a whole millisecond between the step and a fifth more", () => {
    fc.assert(
      fc.property(aFailure, random, ([failures, step], random) => {
        const next = nextAttempt(failures, NOW, null, random);
        expect(next).toSatisfy(Number.isSafeInteger);
        expect(next).toBeGreaterThanOrEqual(NOW + step);
        expect(next).toBeLessThanOrEqual(NOW + step * 1.2);
      }),
    );
  });

  it("comes no sooner than the endpoint asks for", () => {
    expect(nextAttempt(1, NOW, 5 * SECOND + 1, 0)).toBe(NOW + 5 * SECOND + 1);
    expect(nextAttempt(1, NOW, HOUR, 1)).toBe(NOW + HOUR);
    expect(nextAttempt(11, NOW, 24 * HOUR, 0)).toBe(NOW + 24 * HOUR);
  });

  it("comes at its step when the endpoint asks for less", () => {
    expect(nextAttempt(1, NOW, 0, 0)).toBe(NOW + 5 * SECOND);
    expect(nextAttempt(7, NOW, 2 * HOUR - 1, 0)).toBe(NOW + 2 * HOUR);
    expect(nextAttempt(7, NOW, 2 * HOUR + 1, 1)).toBe(NOW + 2.4 * HOUR);
  });

  it("waits for no more than a day because the endpoint asks for it", () => {
    for (const asked of [24 * HOUR + 1, 25 * HOUR, 365 * 24 * HOUR, Number.MAX_SAFE_INTEGER]) {
      expect(nextAttempt(1, NOW, asked, 0)).toBe(NOW + 24 * HOUR);
      expect(nextAttempt(12, NOW, asked, 1)).toBe(NOW + 28.8 * HOUR);
    }
  });

  it("is at the later of its own time and what the endpoint asks for", () => {
    fc.assert(
      fc.property(aFailure, random, fc.nat({ max: 48 * HOUR }), ([failures], random, asked) => {
        const own = nextAttempt(failures, NOW, null, random);
        expect(nextAttempt(failures, NOW, asked, random)).toBe(Math.max(own ?? 0, NOW + Math.min(asked, 24 * HOUR)));
      }),
    );
  });
});

describe("a Retry-After header", () => {
  afterEach(() => void vi.unstubAllEnvs());

  it.each([
    ["0", 0],
    ["1", SECOND],
    ["120", 2 * MINUTE],
    ["007", 7 * SECOND],
    ["86400", 24 * HOUR],
    ["999999999", 999_999_999 * SECOND],
  ])("of seconds: %j", (header, asked) => {
    expect(readRetryAfter(header, NOW)).toBe(asked);
  });

  // RFC 9110, section 5.6.7: a recipient takes all three.
  it.each([
    ["IMF-fixdate", "Tue, 03 Nov 2026 21:26:10 GMT"],
    ["the form of RFC 850", "Tuesday, 03-Nov-26 21:26:10 GMT"],
    ["the form of asctime", "Tue Nov  3 21:26:10 2026"],
  ])("of a date, in %s", (_, header) => {
    // As in workerd.
    vi.stubEnv("TZ", "UTC");
    expect(readRetryAfter(header, NOW)).toBe(HOUR - 344);
    expect(readRetryAfter(header, NOW - 24 * HOUR)).toBe(25 * HOUR - 344);
    expect(readRetryAfter(header, NOW + HOUR)).toBe(0);
    expect(readRetryAfter(header, NOW + 1_000 * HOUR)).toBe(0);
  });

  it("of a date of two digits, in the form of asctime", () => {
    vi.stubEnv("TZ", "UTC");
    expect(readRetryAfter("Fri Nov 13 21:26:10 2026", NOW)).toBe(10 * 24 * HOUR + HOUR - 344);
  });

  it("of any date", () => {
    const second = fc.integer({ min: 0, max: 4_102_444_800 });
    fc.assert(
      fc.property(second, fc.integer({ min: 0, max: 4_102_444_800_000 }), (second, now) => {
        const at = second * SECOND;
        expect(readRetryAfter(new Date(at).toUTCString(), now)).toBe(Math.max(at - now, 0));
      }),
    );
  });

  it.each([
    null,
    ...[
      "",
      " ",
      "soon",
      "Soon",
      "null",
      "NaN",
      "Infinity",
      "in 5 minutes",
      "Try again in 5 minutes",
      "5 s",
      "5s",
      "PT5S",
    ],
    ...["-1", "-0", "+5", "1.5", "1,5", "1e3", "0x10", "1_000", "１２", "5\n", " 5", "5 5", "5, 5"],
    ...["2026-11-03", "2026-11-03T21:26:10Z", "03 Nov 2026 21:26:10 GMT", "1793737570.5", "20261103T212610Z"],
    ...["Tue, 99 Nov 2026 21:26:10 GMT", "Tue, 03 Foo 2026 21:26:10 GMT", "Tue, 03 Nov 2026 25:26:10 GMT"],
    ...["x Tue, 03 Nov 2026 21:26:10 GMT", "Tue, 03 Nov 2026 21:26:10 GMT+1", "Tue, 03 Nov 2026 21:26:10 GMT x"],
    ...["Tue, Tue Nov  3 21:26:10 2026", "Tue Nov  3 21:26:10 2026 x"],
    ...["1 Tue Nov  3 21:26:10 2026", "Tue Nov  3 21:26:10 2026 x", "Tue Nov  3 21:26:10 20260"],
    ...["Tue", "Tue,", "Tue, GMT", "tue, 03 nov 2026 21:26:10 gmt", "Aaaaaaaaaaa 1", "A".repeat(100_000)],
  ])("that is none: %.40j", (header) => {
    expect(readRetryAfter(header, NOW)).toBeNull();
  });

  it("is nothing to fail at", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(..."0123456789 ,:-.TueNovGMT") })),
        (header) => {
          const asked = readRetryAfter(header, NOW);
          expect(asked === null || asked >= 0).toBe(true);
          for (const [failures, step] of STEPS) {
            const next = nextAttempt(failures, NOW, asked, 0);
            expect(next).toBeGreaterThanOrEqual(NOW + step);
            expect(next).toBeLessThanOrEqual(NOW + 24 * HOUR);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

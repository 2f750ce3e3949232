import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import type { PaymentObject } from "../../../src/operation/object";
import { type Client, client, ORDER, paymentIn } from "../client";
import { type Around, instrumentD1 } from "../d1";
import { envWithD1 } from "../objects";

const api = client();
const LOST = "D1_ERROR: Network connection lost.";

/** A client of a service whose D1 behaves like this. */
const withD1 = (around: Around) => client(envWithD1(instrumentD1(env.DB, around)), { outages: true });

/** The service with an object stub that fails in this way `times` times, before or after it acted. */
function withStub(times: number, marks: object, { after = false } = {}) {
  let left = times;
  const stubs: Pick<PaymentObject, "run">[] = [];
  const getByName = (name: string) => {
    const stub = env.PAYMENT.getByName(name);
    const run = async (...asked: Parameters<PaymentObject["run"]>) => {
      const reply = left <= 0 || after ? await stub.run(...asked) : undefined;
      if (left-- > 0) throw Object.assign(new Error("The object broke"), marks);
      return reply;
    };
    stubs.push({ run } as Pick<PaymentObject, "run">);
    return stubs.at(-1);
  };
  const service = client(
    { ...env, PAYMENT: Object.assign(Object.create(env.PAYMENT), { getByName }) },
    { outages: true },
  );
  return { service, stubs };
}

/** Commits, and loses the answer, `times` times; after that all is well. */
function losesAnswers(times: number): Around {
  let left = times;
  return async (roundTrip) => {
    const answer = await roundTrip();
    if (left-- > 0) throw new Error(LOST);
    return answer;
  };
}

/** Fails `times` times before the statement reaches D1. */
function failsFirst(times: number, message = LOST): Around {
  let left = times;
  return (roundTrip) => (left-- > 0 ? Promise.reject(new Error(message)) : roundTrip());
}

async function events(id: number): Promise<number> {
  const row = await env.DB.prepare("SELECT count(*) AS n FROM events WHERE payment_id = ?")
    .bind(id)
    .first<{ n: number }>();
  return row?.n ?? 0;
}

const OUTAGE = {
  type: "/problems/unavailable",
  title: "Temporarily unavailable",
  status: 503,
  detail:
    "The service cannot reach its storage. Retry with the same Idempotency-Key: it tells whether the request took effect.",
};

describe("a lost answer", () => {
  it.each([1, 2])(
    "of a create that committed is found by the same request, after %i losses: 201, once",
    async (losses) => {
      const key = crypto.randomUUID();
      const { status, replayed, body } = await withD1(losesAnswers(losses)).create(ORDER, key);
      expect([status, replayed]).toEqual([201, false]);
      const retry = await api.create(ORDER, key);
      expect([retry.status, retry.replayed, retry.body]).toEqual([200, true, body]);
      expect(await events(body.id)).toBe(1);
    },
  );

  it.each([undefined, "refund-lost"])("of a refund that committed is no 409, with key %s", async (key) => {
    const { id } = await paymentIn("confirmed");
    const { status, replayed, body } = await withD1(losesAnswers(2)).run(id, "refund", key);
    expect([status, replayed, body.status]).toEqual([200, false, "refunded"]);
    expect(await events(id)).toBe(3);
  });

  it("of all attempts is a 503, and the key tells what happened", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { id } = await paymentIn("confirmed");
    const lost = await withD1(losesAnswers(3)).run(id, "refund", "refund-all-lost");
    expect(lost.status).toBe(503);
    const retry = await api.run(id, "refund", "refund-all-lost");
    expect([retry.status, retry.replayed, retry.body.status]).toEqual([200, true, "refunded"]);

    expect((await withD1(losesAnswers(Number.POSITIVE_INFINITY)).create(ORDER, "create-all-lost")).status).toBe(503);
    const found = await api.create(ORDER, "create-all-lost");
    expect([found.status, found.replayed]).toEqual([200, true]);
    logged.mockRestore();
  });
});

describe("a refusal after an attempt whose answer was lost", () => {
  const ask = (service: Client, id: number, headers: Record<string, string>) =>
    service.request("POST", `/api/v1/payments/${id}/refund`, { headers });

  it.each<[what: string, prepare: () => Promise<number>, headers: Record<string, string>, certain: number]>([
    ["of an action that the status does not allow", () => paymentIn("pending").then(({ id }) => id), {}, 409],
    ["of a payment that is not there", () => Promise.resolve(Number.MAX_SAFE_INTEGER), {}, 404],
    // The lost attempt may have had the version that is expected, and is then what has changed it.
    ["of another version", () => paymentIn("confirmed").then(({ id }) => id), { "If-Match": '"1"' }, 412],
  ])("would be a guess, for that attempt may still arrive: 503, %s", async (_, prepare, headers, certain) => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const id = await prepare();
    for (const service of [withD1(failsFirst(1)), withStub(1, { retryable: true }).service]) {
      const { status, body } = await ask(service, id, headers);
      expect([status, body.type]).toEqual([503, "/problems/unavailable"]);
    }
    expect((await ask(api, id, headers)).status).toBe(certain);
    logged.mockRestore();
  });

  it("of a call that comes to the payment's object twice would be one too", async () => {
    const { id } = await paymentIn("pending");
    let isOut = true;
    const outage: Around = (roundTrip) => (isOut ? Promise.reject(new Error(LOST)) : roundTrip());
    const object = envWithD1(instrumentD1(env.DB, outage)).PAYMENT.getByName(`1:${id}`);
    /** Refunds the payment, which is not confirmed. */
    const call = async (commitId: string) => {
      const origin = { merchantId: 1, keyId: null, requestId: "test", commitId, now: Date.now() };
      return (await object.run(origin, { action: "refund", idempotency: null, expected: null })).result.tag;
    };
    expect(await call("came before")).toBe("outage");
    isOut = false;
    expect(await call("came before")).toBe("outage");
    expect(await call("comes once")).toBe("refused");
  });

  it("because the payment was busy would be one too", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { id } = await paymentIn("pending");
    /** The service with an object that breaks so many times, and is busy after that. */
    const busyAfter = (failures: number) => {
      let left = failures;
      const run = async () => {
        if (left-- > 0) throw Object.assign(new Error("The object broke"), { retryable: true });
        return { result: { tag: "busy" }, cost: { trips: 0, rowsRead: 0, rowsWritten: 0 } };
      };
      const PAYMENT = Object.assign(Object.create(env.PAYMENT), { getByName: () => ({ run }) });
      return client({ ...env, PAYMENT }, { outages: true });
    };
    expect((await busyAfter(0).run(id, "confirm")).body.type).toBe("/problems/payment-busy");
    for (const failures of [1, 2]) {
      const { status, body } = await busyAfter(failures).run(id, "confirm");
      expect([status, body.type]).toEqual([503, "/problems/unavailable"]);
    }
    logged.mockRestore();
  });
});

describe("what is found after its answer was lost is told as it was, whatever has happened since", () => {
  /** The first round trip commits; before its answer is lost, somebody else goes on. */
  const overtakenBy = (goOn: () => Promise<unknown>): Around => {
    let lost = false;
    return async (roundTrip) => {
      const answer = await roundTrip();
      if (lost) return answer;
      lost = true;
      await goOn();
      throw new Error(LOST);
    };
  };

  it("a creation that was confirmed", async () => {
    const before = (await paymentIn("pending")).id;
    const { status, body } = await withD1(overtakenBy(() => api.run(before + 1, "confirm"))).create(ORDER);
    expect([status, body.id, body.status, body.updated_at]).toEqual([201, before + 1, "pending", body.created_at]);
    expect((await api.get(body.id)).body.status).toBe("confirmed");
  });

  it("a confirmation that was refunded five seconds later: its status, its time and its version", async () => {
    const { id } = await paymentIn("pending");
    const now = Date.now();
    const clock = vi.spyOn(Date, "now").mockReturnValue(now);
    const refundLater = async () => {
      clock.mockReturnValue(now + 5_000);
      await api.run(id, "refund");
    };
    const { status, headers, body } = await withD1(overtakenBy(refundLater)).run(id, "confirm");
    clock.mockRestore();
    expect([status, body.status, headers.get("ETag")]).toEqual([200, "confirmed", '"2"']);
    const { body: after, headers: newest } = await api.get(id);
    expect([after.status, newest.get("ETag")]).toEqual(["refunded", '"3"']);
    expect(Date.parse(after.updated_at) - Date.parse(body.updated_at)).toBe(5_000);
  });
});

describe("an error of D1", () => {
  /** Loses the answers of two round trips with this error, after the commit or before, and counts them all. */
  const losing = (message: string, arrives: boolean) => {
    const seen = { trips: 0 };
    const service = withD1(async (roundTrip) => {
      const isLost = ++seen.trips <= 2;
      if (!isLost || arrives) {
        const answer = await roundTrip();
        if (!isLost) return answer;
      }
      throw new Error(message);
    });
    return { service, seen };
  };

  // What "Debug D1" in Cloudflare's documentation calls worth another try.
  it.each([
    "D1_ERROR: Network connection lost.",
    "D1_ERROR: D1 DB storage operation exceeded timeout which caused object to be reset.",
    "D1_ERROR: Internal error in D1 DB storage caused object to be reset.",
    "D1_ERROR: Internal error while starting up D1 DB storage caused object to be reset.",
    "D1_ERROR: D1 DB reset because its code was updated.",
    "D1_ERROR: Cannot resolve D1 DB due to transient issue on remote node.",
  ])("that passes is tried again, and what has happened happens once: %s", async (message) => {
    for (const arrives of [false, true]) {
      const { id } = await paymentIn("pending");
      const acting = losing(message, arrives);
      const { status, body } = await acting.service.run(id, "confirm");
      expect([status, body.status, acting.seen.trips]).toEqual([200, "confirmed", 3]);
      expect(await events(id)).toBe(2);
      const creating = losing(message, arrives);
      const created = await creating.service.create(ORDER);
      // Where the first has arrived, the second is told that the key is taken, and the third finds by whom.
      expect([created.status, creating.seen.trips]).toEqual([201, 3]);
      expect(await events(created.body.id)).toBe(1);
    }
  });

  it.each([
    ["D1_ERROR: D1 DB is overloaded. Requests queued for too long.", 503],
    ["D1_ERROR: D1 DB is overloaded. Too many requests queued.", 503],
    ["D1_ERROR: D1 DB exceeded its CPU time limit and was reset.", 503],
    ["D1_ERROR: D1 DB's isolate exceeded its memory limit and was reset.", 503],
    ["D1_ERROR: something new", 503],
    ["D1_ERROR: too many SQL variables: SQLITE_ERROR", 500],
    ["D1_TYPE_ERROR: Type 'undefined' not supported for value 'undefined'", 500],
  ])("of another kind is not tried again: %s", async (message, expected) => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { id } = await paymentIn("pending");
    for (const ask of [
      (service: Client) => service.run(id, "confirm"),
      (service: Client) => service.create(ORDER),
      (service: Client) => service.get(id),
    ]) {
      const { service, seen } = losing(message, false);
      expect([(await ask(service)).status, seen.trips]).toEqual([expected, 1]);
    }
    expect(await events(id)).toBe(1);
    logged.mockRestore();
  });
});

describe("an outage of D1", () => {
  it("that passes is not seen", async () => {
    expect((await withD1(failsFirst(2)).create(ORDER)).status).toBe(201);
    const { id } = await paymentIn("pending");
    expect((await withD1(failsFirst(2)).get(id)).status).toBe(200);
    expect((await withD1(failsFirst(2)).run(id, "confirm")).status).toBe(200);
  });

  it.each(["D1_ERROR: Network connection lost.", "D1_ERROR: D1 DB is overloaded. Requests queued for too long."])(
    "that lasts is a 503: %s",
    async (message) => {
      const logged = vi.spyOn(console, "error").mockImplementation(() => {});
      const { id } = await paymentIn("pending");
      const key = crypto.randomUUID();
      const down = withD1(failsFirst(Number.POSITIVE_INFINITY, message));
      for (const answer of [await down.create(ORDER, key), await down.get(id), await down.run(id, "confirm")]) {
        expect(answer.body).toEqual({ ...OUTAGE, instance: answer.headers.get("X-Request-Id") });
        expect(answer.headers.get("Retry-After")).toBe("1");
      }
      expect(logged).toHaveBeenCalledTimes(3);
      expect(JSON.stringify(logged.mock.calls)).toContain(message);
      logged.mockRestore();
      expect((await api.get(id)).body.status).toBe("pending");
      expect((await api.create(ORDER, key)).status).toBe(201);
    },
  );

  it("shows in readiness, and not in health", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const down = withD1(failsFirst(Number.POSITIVE_INFINITY));
    expect((await down.request("GET", "/health")).status).toBe(200);
    const { status, body } = await down.request("GET", "/health/ready");
    expect([status, body.detail]).toEqual([503, "D1 does not answer, or its migrations are not applied"]);
    logged.mockRestore();
  });
});

it("is not ready when D1 does not answer at all", async () => {
  const logged = vi.spyOn(console, "error").mockImplementation(() => {});
  const { status } = await withD1(() => new Promise(() => {})).request("GET", "/health/ready");
  expect(status).toBe(503);
  logged.mockRestore();
});

describe("a bug", () => {
  it("is a 500 that says nothing of the inside, and a log line that says all", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = withD1(failsFirst(1, "D1_ERROR: no such column: secret_column: SQLITE_ERROR"));
    const { headers, body } = await broken.create(ORDER, "bug");
    expect(body).toEqual({
      type: "/problems/internal-error",
      title: "Internal error",
      status: 500,
      detail: "Internal error",
      instance: headers.get("X-Request-Id"),
    });
    expect(JSON.stringify(logged.mock.calls)).toContain("secret_column");
    expect(JSON.stringify(logged.mock.calls)).toContain(body.instance);
    logged.mockRestore();
  });

  it("inside an object is a 500 too, and does not block the payment's line", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { id } = await paymentIn("pending");
    const broken = withD1(failsFirst(1, 'D1_ERROR: near "UPDAT": syntax error: SQLITE_ERROR'));
    expect((await broken.run(id, "confirm")).status).toBe(500);
    expect((await broken.run(id, "confirm")).status).toBe(200);
    logged.mockRestore();
  });
});

describe("an object out of reach", () => {
  it("is asked again through a fresh stub when the runtime calls that worthwhile", async () => {
    const { id } = await paymentIn("pending");
    const { service, stubs } = withStub(2, { retryable: true });
    expect((await service.run(id, "confirm")).status).toBe(200);
    expect(new Set(stubs).size).toBe(3);
  });

  it("that acted before it broke has acted once, and says so", async () => {
    const { id } = await paymentIn("confirmed");
    const { service } = withStub(1, { retryable: true }, { after: true });
    const { status, body } = await service.run(id, "refund");
    expect([status, body.status]).toEqual([200, "refunded"]);
    expect(await events(id)).toBe(3);
  });

  it.each([
    ["overloaded", { retryable: true, overloaded: true }, 503],
    ["reset", { durableObjectReset: true }, 503],
    ["gone for good", {}, 503],
    ["called wrongly", { name: "DataCloneError" }, 500],
  ])("is not asked again when it is %s", async (_, marks, expected) => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { id } = await paymentIn("pending");
    const { service, stubs } = withStub(1, marks);
    expect((await service.run(id, "confirm")).status).toBe(expected);
    expect(stubs).toHaveLength(1);
    logged.mockRestore();
  });
});

import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type Schema, Validator } from "@cfworker/json-schema";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { app } from "../../../src/app";
import { apiDocument, type Operation } from "../contract";
import { likelyTexts, readTexts, text, texts, type Value, values } from "./document-inputs";

/**
 * The document and the server are held against each other: for every parameter, header and field of a body, what the
 * schema allows is not refused, and what it does not allow is. Each request has another fault besides, so that none
 * changes anything and every answer lists what is wrong.
 */

const document = await apiDocument();

interface Found {
  readonly detail: string;
  readonly pointer?: string;
  readonly parameter?: string;
  readonly header?: string;
}

/** Asks the app itself, which asks for no key: each property sends a hundred requests. */
async function ask(
  method: string,
  path: string,
  init: RequestInit,
): Promise<{ id: number | undefined; errors: readonly Found[] }> {
  const request = new Request(`http://localhost${path}`, { method, ...init });
  const response = await app.fetch(request, { ...env, AUTH_MODE: "open" }, createExecutionContext());
  const body = await response.json<{ id?: number; errors?: Found[] }>();
  return { id: body.id, errors: body.errors ?? [] };
}

interface Target {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

const TARGETS: Target[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
);

const AMOUNT = /^Must (be at most 999999999999\.99|have at most [023] decimal places in this currency)$/;

/** What is said of values that no schema can tell apart: the rule is in words, beside it. */
const IN_WORDS: Readonly<Record<string, RegExp>> = {
  cursor: /^Must be a cursor from an earlier answer, as it was$/,
  amount: AMOUNT,
  amount_min: AMOUNT,
  amount_max: AMOUNT,
  // How an address must be formed is said in words: only its type and its length are a schema's.
  url: /^Must (?!be a string$|be at most 2048 characters long$)/,
  all_types: /^Leave out either types or all_types$/,
  metadata: /^Must have at most 8192 bytes in all, as JSON in UTF-8$/,
  expires_at:
    /^Must be (an RFC 3339 time with seconds up to 59, or a date, in the future|at most 9999-12-31T23:59:59\.999Z)$/,
  // A schema of one field knows nothing of the other.
  to: /^Must be later than from$/,
  "last-event-id": /^Must be the id of an event of this payment, as in the stream$/,
  provider_account: /^Must be (the name of a provider account, such as stripe_3|an account of the provider .*)$/,
  capture_method: /^Must be automatic: the provider internal captures at once$/,
  payment_method: /^(The provider internal takes none|Must be a token of the sandbox, such as test_ok: .*)$/,
  return_url: /^(The provider internal takes none|Must (?!be a string$|be at most 2048 characters long$).*)$/,
  // Not every language's patterns know what can be seen, and what half a character is.
  name: /^Must (have something in it that can be seen|be Unicode text without control characters)$/,
};

const validators = new Map<Schema, Validator>();

function isValid(schema: Schema, value: unknown): boolean {
  const validator = validators.get(schema) ?? new Validator(schema, "2020-12", false);
  validators.set(schema, validator);
  return validator.validate(value).valid;
}

/** How often each name was allowed and refused: one that never was would show nothing. */
const tallies = new Map<string, { allowed: number; refused: number }>();

function compare(schema: Schema, name: string, value: unknown, found: readonly Found[]): void {
  const allowed = isValid(schema, value);
  const tally = tallies.get(name) ?? { allowed: 0, refused: 0 };
  tallies.set(name, tally);
  tally[allowed ? "allowed" : "refused"]++;
  const details = found.map(({ detail }) => detail);
  if (allowed && details.length > 0 && details.every((detail) => IN_WORDS[name]?.test(detail))) return;
  expect({ name, value, isAllowed: details.length === 0, details }).toMatchObject({ isAllowed: allowed });
}

/** Well-formed, and of nothing that there is. */
const NOBODYS: Readonly<Record<string, string>> = {
  payment_id: "4503599627370496",
  endpoint_id: "4503599627370496",
  key_id: "000000000000",
};

/** A header that is no key: what has passed validation changes nothing. */
const NO_KEY = { "Idempotency-Key": '"' };

/** The schema of a body, where the document refers to it. */
function bodySchema({ requestBody }: Operation): Schema | undefined {
  const schema = requestBody?.content["application/json"]?.schema;
  return schema?.$ref ? document.components.schemas[schema.$ref.replace(/^.*\//, "")] : schema;
}

const fieldsOf = (operation: Operation) =>
  Object.entries(bodySchema(operation)?.properties ?? {}).flatMap(([name, schema]) =>
    typeof schema === "object" ? [{ name, schema }] : [],
  );

const parametersOf = ({ parameters = [] }: Operation, ...places: string[]) =>
  parameters.filter(({ in: place }) => places.includes(place));

/** Whether a field that a body may have is left out of one: another is then required, as its description says. */
const isWithout = (field: string, fields: readonly { name: string }[], sent: readonly Value[]): boolean =>
  fields.some(({ name }, index) => name === field && sent[index]?.json === null);

describe("the document and the server agree about", () => {
  const withInput = TARGETS.filter(
    ({ operation }) => operation.requestBody || parametersOf(operation, "path", "query").length > 0,
  );

  it.each(withInput)("$method $path", async ({ method, path, operation }) => {
    const parameters = parametersOf(operation, "path", "query");
    const fields = fieldsOf(operation);
    const required = bodySchema(operation)?.required ?? [];
    const input = fc.record({
      given: fc.tuple(...parameters.map(({ name, schema }) => texts(name, schema))),
      sent: fc.tuple(...fields.map(({ name, schema }) => values(name, schema))),
    });
    await fc.assert(
      fc.asyncProperty(input, async ({ given, sent }) => {
        let target = path;
        const query = new URLSearchParams("nope=1");
        for (const [index, { name, in: place }] of parameters.entries()) {
          const [first = "", ...more] = given[index] ?? [];
          // Nothing, and dots, would be another path.
          if (place === "path" && /^\.{0,2}$/.test(first)) return;
          if (place === "path") target = target.replace(`{${name}}`, encodeURIComponent(first));
          else for (const one of [first, ...more]) query.append(name, one);
        }
        const json = fields.flatMap(({ name }, index) => {
          const written = sent[index]?.json ?? null;
          return written === null ? [] : [`${JSON.stringify(name)}:${written}`];
        });
        const { errors } = await ask(method, `${target}?${query}`, {
          headers: { ...NO_KEY, "Content-Type": "application/json" },
          ...(operation.requestBody ? { body: `{${['"nope":1', ...json].join(",")}}` } : {}),
        });
        for (const [index, { name, in: place, schema }] of parameters.entries()) {
          const [first, ...more] = given[index] ?? [];
          const value = readTexts(schema, place === "path" ? [first ?? ""] : [first ?? "", ...more]);
          compare(
            schema,
            name,
            value,
            errors.filter(({ parameter }) => parameter === name),
          );
        }
        for (const [index, { name, schema }] of fields.entries()) {
          const found = errors.filter(({ pointer }) => `${pointer}/`.startsWith(`#/${name}/`));
          if (sent[index]?.json === null) {
            const isMissing = required.includes(name) || (name === "order_id" && isWithout("reference", fields, sent));
            expect([name, found.length > 0]).toEqual([name, isMissing]);
          } else compare(schema, name, sent[index]?.value, found);
        }
      }),
      { numRuns: 60 },
    );
  });

  // A header is judged once the body is known to be valid: where there is none, nothing is created with a key.
  const withHeaders = TARGETS.filter(
    ({ operation }) => !operation.requestBody && parametersOf(operation, "header").length > 0,
  );

  it.each(withHeaders)("the headers of $method $path", async ({ method, path, operation }) => {
    const merchant = await ask("POST", "/api/v1/merchants", {
      headers: { "Content-Type": "application/json" },
      body: '{"name":"Shop"}',
    });
    const ids: Record<string, unknown> = { ...NOBODYS, merchant_id: merchant.id };
    const target = path.replace(/\{(\w+)\}/g, (_, name: string) => String(ids[name]));
    for (const { name, schema } of parametersOf(operation, "header")) {
      await fc.assert(
        fc.asyncProperty(text(likelyTexts(name, schema)), async (value) => {
          // Headers are bytes, without control characters, and without spaces around them.
          if (!/^[\x20-\x7e\x80-\xff]*$/.test(value) || value !== value.trim()) return;
          const { errors } = await ask(method, target, { headers: { [name]: value } });
          compare(
            schema,
            name,
            value,
            errors.filter(({ header }) => header?.toLowerCase() === name),
          );
        }),
        { numRuns: 60 },
      );
    }
  });

  it("all of them, in what is allowed and in what is refused", () => {
    const names = TARGETS.flatMap(({ operation }) => [
      ...(operation.parameters ?? []).map(({ name }) => name),
      ...fieldsOf(operation).map(({ name }) => name),
    ]);
    for (const name of new Set(names)) {
      const { allowed = 0, refused = 0 } = tallies.get(name) ?? {};
      expect([name, allowed > 0, refused > 0]).toEqual([name, true, true]);
    }
  });
});

describe("the document", () => {
  /** As a service in this mode serves it. */
  async function servedIn(
    mode: "open" | "required",
  ): Promise<typeof document & { security?: unknown; info: { description: string } }> {
    const served = await app.fetch(
      new Request("http://localhost/openapi.json"),
      { ...env, AUTH_MODE: mode },
      createExecutionContext(),
    );
    return served.json();
  }

  it("demands a key in required mode, and none in open mode, whichever is asked first", async () => {
    for (const mode of ["open", "required", "open"] as const) {
      const served = await servedIn(mode);
      const demands = Object.values(served.paths)
        .flatMap((methods) => Object.values(methods))
        .filter(({ security }) => security !== undefined && security.length > 0);
      expect(demands.length > 20).toBe(mode === "required");
      expect("securitySchemes" in served.components).toBe(mode === "required");
      expect([served.security, served.info.description.includes("need no API key")]).toEqual([[], mode === "open"]);
      if (mode === "open") expect(demands).toEqual([]);
    }
  });

  it("says of a payment what a payment is, and answers everywhere with one and the same", () => {
    const { Payment } = document.components.schemas;
    expect(Payment?.description).toBe("An intent to move an amount of one currency for one order");
    const reference = { $ref: "#/components/schemas/Payment" };
    for (const [path, methods] of Object.entries(document.paths)) {
      if (!/^\/api\/v1\/payments(\/\{payment_id\}(\/(confirm|fail|refund))?)?$/.test(path)) continue;
      for (const [method, { responses }] of Object.entries(methods)) {
        if (method === "get" && path === "/api/v1/payments") continue;
        for (const status of method === "post" && path === "/api/v1/payments" ? ["200", "201"] : ["200"]) {
          expect(responses[status], `${method} ${path}`).toMatchObject({
            content: { "application/json": { schema: reference } },
          });
        }
      }
    }
  });
});

describe("a cursor that is an example", () => {
  const CURSORS = /"(?:next_cursor|previous_cursor|Next-Cursor)":"([\w-]+)"|[?&]cursor=([\w-]+)/g;
  /** Those of a path, its headers' examples under their names. */
  const examples = TARGETS.filter(({ method }) => method === "GET").flatMap(({ path, operation }) => {
    const text = JSON.stringify(operation, (name, value) => {
      return name.endsWith("-Cursor") ? value.schema.example : value;
    });
    return [...text.matchAll(CURSORS)].map(([, body, query]): [string, string] => [path, body ?? query ?? ""]);
  });

  it.each(examples)("of %s is taken there: %s", async (path, cursor) => {
    const { errors } = await ask("GET", `${path.replaceAll(/\{\w+\}/g, "1")}?cursor=${cursor}`, {});
    expect(errors.filter(({ parameter }) => parameter === "cursor")).toEqual([]);
  });

  it("is there, of CSV", () => {
    expect(examples.map(([path]) => path)).toContain("/api/v1/payments");
  });
});

it("names the schema of every success that is JSON, so that generated clients have one class for it", () => {
  for (const { method, path, operation } of TARGETS) {
    for (const [status, response] of Object.entries(operation.responses)) {
      const content = "content" in response ? response.content : undefined;
      const schema = status.startsWith("2") ? content?.["application/json"]?.schema : undefined;
      if (schema !== undefined) expect(schema, `${method} ${path}`).toEqual({ $ref: expect.any(String) });
    }
  }
});

const API_TARGETS = TARGETS.filter(({ path }) => path.startsWith("/api/v1/"));

describe.each(API_TARGETS)("the query of $method $path", ({ method, path }) => {
  const at = path.replaceAll(/\{\w+\}/g, "1");
  const init = method === "GET" ? {} : { body: '{"x":1}', headers: { "Content-Type": "application/json" } };
  const unknownOf = (errors: readonly Found[]) =>
    errors.filter(({ detail, parameter }) => parameter !== undefined && detail === "Unknown parameter");

  it("holds nothing that is not described", async () => {
    const { errors } = await ask(method, `${at}?nothing_such=1`, init);
    expect(unknownOf(errors)).toEqual([{ detail: "Unknown parameter", parameter: "nothing_such" }]);
  });

  it("holds no value without a name, and no name that JavaScript has for itself", async () => {
    for (const name of ["", "__proto__", "constructor"]) {
      const { errors } = await ask(method, `${at}?${name}=5`, init);
      expect(unknownOf(errors), name).toEqual([{ detail: "Unknown parameter", parameter: name }]);
    }
  });

  it("may be empty", async () => {
    for (const empty of ["?", "/?", "?&"]) {
      expect(unknownOf((await ask(method, at + empty, init)).errors), empty).toEqual([]);
    }
  });
});

describe("the document says in words", () => {
  const schema = (name: string) => document.components.schemas[name];
  const field = (name: string, of: string) => {
    const found = schema(name)?.properties?.[of];
    return typeof found === "object" ? found.description : undefined;
  };

  it.each([
    ["WebhookEndpointToCreate", "types", "all, also those that come later, when left out"],
    ["WebhookEndpointChanges", "types", "they stay as they are when left out"],
    ["ApiKeyToCreate", "expires_at", "in the future, and at most 9999-12-31T23:59:59.999Z"],
    ["ApiKeyRoll", "expires_at", "in the future, and at most 9999-12-31T23:59:59.999Z"],
    ["WebhookReplay", "to", "later than `from`"],
    ["NewPayment", "metadata", "Unicode text without NUL"],
    ["NewPayment", "order_id", "Required without `reference`"],
    ["NewPayment", "capture_method", "`manual`, which `internal` refuses"],
    ["NewPayment", "payment_method", "`internal` refuses it"],
    ["NewPayment", "return_url", "`internal` refuses it"],
    ["MerchantToCreate", "name", "Unicode text without control characters"],
    ["MerchantChanges", "name", "Unicode text without control characters"],
    ["ApiKeyChanges", "name", "Unicode text without control characters"],
  ])("what %s demands of %s", (name, of, words) => {
    expect(field(name, of)).toContain(words);
  });

  it("every body by its name", () => {
    for (const { method, path, operation } of TARGETS) {
      const body = operation.requestBody?.content["application/json"]?.schema;
      if (body !== undefined) expect([method, path, body.$ref]).toEqual([method, path, expect.stringMatching(/^#/)]);
    }
    expect(schema("ApiKeyChanges")?.example).not.toEqual(schema("MerchantChanges")?.example);
  });
});

it("a list takes its own cursors, and no other's", async () => {
  const LISTS = ["payments", "merchants", "account-events", "webhook-endpoints"];
  const cursorOf = (list: string) => btoa(JSON.stringify([list, "older", 1, 1])).replaceAll("=", "");
  for (const list of LISTS) {
    for (const other of LISTS) {
      const path = `/api/v1/${list}/?nothing_such=1&cursor=${cursorOf(other)}`;
      const { errors } = await ask("GET", path, {});
      expect([list, other, errors.some(({ parameter }) => parameter === "cursor")]).toEqual([
        list,
        other,
        list !== other,
      ]);
    }
  }
});

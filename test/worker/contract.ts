import { exports } from "cloudflare:workers";
import { type Schema, Validator } from "@cfworker/json-schema";
import { expect } from "vitest";

/** As much of an OpenAPI 3.1 document as the checks need. */
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, Schema>;
    responses: Record<string, DescribedResponse>;
    headers: Record<string, DescribedHeader>;
  };
}
interface Reference {
  $ref: string;
}
interface DescribedHeader {
  schema: Schema;
}
interface DescribedResponse {
  headers?: Record<string, DescribedHeader | Reference>;
  content?: Record<string, MediaType>;
}
export interface Operation {
  operationId: string;
  description?: string;
  security?: Record<string, string[]>[];
  "x-required-scope"?: string;
  parameters?: { name: string; in: string; required?: boolean; schema: Schema; example?: unknown }[];
  requestBody?: { content: Record<string, MediaType>; required?: boolean };
  responses: Record<string, DescribedResponse | Reference>;
}

interface MediaType {
  schema: Schema;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}

const ANY_PROBLEM: Schema = { $ref: "#/components/schemas/Problem" };

let loading: Promise<Document> | undefined;

/** The validator of each schema of the document: making one walks the whole document, so each is made once. */
const validators = new WeakMap<Schema, Validator>();

/** The document that the Worker serves. */
export function apiDocument(): Promise<Document> {
  loading ??= exports.default.fetch("http://localhost/openapi.json").then((response) => response.json());
  return loading;
}

/** Bodies that are none, where none is required. The document leaves `null` out: generators would make two types of one. */
const SAYS_NOTHING = new Set<unknown>([undefined, "", null]);

/** Headers that any answer may have, whatever the document says of it. */
const COMMON_HEADERS = [
  ...["allow", "cache-control", "content-disposition", "content-length", "content-type"],
  ...["content-security-policy", "referrer-policy", "strict-transport-security"],
  ...["vary", "x-content-type-options", "x-frame-options"],
];

/**
 * Fails when an answer is not as the API document says: status, media type, headers, and a body with
 * all that its schema demands and nothing it does not name. What the document has no operation for must
 * be a problem. An accepted request's body must be one that the document allows.
 */
export async function expectDocumented(
  method: string,
  path: string,
  requestBody: unknown,
  answer: { status: number; headers: Headers; body: unknown },
): Promise<void> {
  const document = await apiDocument();
  const known = operation(document, method, path);
  const described = resolve(document.components.responses, known?.responses[answer.status]);
  const mediaType = answer.headers.get("Content-Type") ?? "";
  // Clients have limits for headers, so that none may grow with what a request holds.
  for (const [name, value] of answer.headers) expect(value.length, `${method} ${path}: ${name}`).toBeLessThan(1025);
  if (!described) {
    expect(known, `${method} ${path} answers ${answer.status}, which the document does not have`).toBeUndefined();
    expect(answer.status, `${method} ${path} answers what the document does not have`).toBeOneOf([204, 404, 405, 413]);
    if (answer.status === 204) return;
    expect(mediaType).toBe("application/problem+json");
    expectValid(document, ANY_PROBLEM, answer.body);
    return;
  }
  if (!described.content) {
    expect(answer.body).toBeNull();
    return;
  }
  // In words only: a second media type would make the type of the list, in generated clients, a list or a text.
  if (mediaType.startsWith("text/csv") && known?.description?.includes("`Accept: text/csv`")) return;
  const { schema, examples = {} } = described.content[mediaType] ?? {};
  if (!schema) throw new Error(`${method} ${path} ${answer.status}: undocumented media type ${mediaType}`);
  expectValid(document, schema, answer.body);
  // The examples of a problem name the kinds that this operation answers with.
  if (mediaType === "application/problem+json") {
    const kinds = Object.values(examples).map(({ value }) => (value as { type: string }).type);
    expect(kinds, `${method} ${path} ${answer.status}`).toContain((answer.body as { type: string }).type);
  }
  for (const [name, value] of answer.headers) {
    if (COMMON_HEADERS.includes(name)) continue;
    const header = Object.entries(described.headers ?? {}).find(([documented]) => documented.toLowerCase() === name);
    if (!header) throw new Error(`${method} ${path} ${answer.status}: undocumented header ${name}`);
    const schema = resolve(document.components.headers, header[1])?.schema;
    if (schema) expectValid(document, schema, schema.type === "integer" ? Number(value) : value);
  }
  const asked = operation(document, method, path)?.requestBody;
  const requestSchema = asked?.content["application/json"]?.schema;
  const isRead = !(requestBody instanceof ReadableStream) && (asked?.required || !SAYS_NOTHING.has(requestBody));
  if (answer.status < 300 && requestSchema && isRead) expectValid(document, requestSchema, requestBody);
}

/** What a part of the document is, or refers to. */
export function resolve<T extends object>(
  components: Record<string, T>,
  part: T | Reference | undefined,
): T | undefined {
  return part && "$ref" in part ? components[part.$ref.replace(/^.*\//, "")] : part;
}

function operation(document: Document, method: string, path: string): Operation | undefined {
  const plain = path.replace(/\?.*$/, "").replace(/(.)\/$/, "$1");
  const template = Object.keys(document.paths)
    .sort((a, b) => a.split("{").length - b.split("{").length)
    .find((candidate) => new RegExp(`^${candidate.replace(/\{\w+\}/g, "[^/]+")}$`).test(plain));
  return template === undefined ? undefined : document.paths[template]?.[method.toLowerCase()];
}

function expectValid(document: Document, schema: Schema, value: unknown): void {
  let validator = validators.get(schema);
  if (!validator) {
    validator = new Validator(closed({ ...schema, components: document.components }), "2020-12", false);
    validators.set(schema, validator);
  }
  const { valid, errors } = validator.validate(value);
  expect(valid, `${JSON.stringify(value)}: ${errors.map((error) => error.error).join("; ")}`).toBe(true);
}

/** The schema with every object closed, so that a field the document does not name is found. */
function closed<T>(schema: T): T {
  if (Array.isArray(schema)) return schema.map(closed) as T;
  if (typeof schema !== "object" || schema === null) return schema;
  // The members of an allOf are validated together, so none of them may be closed by itself.
  // An example's id is no schema's.
  const copy = Object.fromEntries(
    Object.entries(schema)
      .filter(([key]) => key !== "example")
      .map(([key, value]) => [key, key === "allOf" ? value : closed(value)]),
  );
  return ("properties" in copy ? { additionalProperties: false, ...copy } : copy) as T;
}

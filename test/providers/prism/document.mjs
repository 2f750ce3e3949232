/**
 * Writes the part of Mollie's API that the adapter uses as an OpenAPI document, made of the schemas in Mollie's own package for TypeScript,
 * which Mollie makes of the document that it publishes. That document itself is under a licence that is not for commercial use, and in no
 * package.
 *
 * Objects have no fields but those that are named there, and words are those of their lists: what Mollie may add some day is nothing that
 * is sent today.
 */
import { writeFile } from "node:fs/promises";
import {
  CaptureResponse$inboundSchema,
  EntityCapture$outboundSchema,
  PaymentRequest$outboundSchema,
  PaymentResponse$inboundSchema,
  RefundRequest$outboundSchema,
  RefundResponse$inboundSchema,
} from "mollie-api-typescript/models";
import { ErrorResponse$inboundSchema } from "mollie-api-typescript/models/errors";
import {
  CancelPaymentRequestBody$outboundSchema,
  GetPaymentRequest$outboundSchema,
  ListAllChargebacksRequest$outboundSchema,
  ListAllChargebacksResponseBody$inboundSchema,
  ListAllRefundsRequest$outboundSchema,
  ListAllRefundsResponseBody$inboundSchema,
  ListCapturesResponseBody$inboundSchema,
  ListChargebacksResponseBody$inboundSchema,
  ListPaymentsRequest$outboundSchema,
  ListPaymentsResponseBody$inboundSchema,
  ListRefundsResponseBody$inboundSchema,
  ReleaseAuthorizationRequestBody$outboundSchema,
} from "mollie-api-typescript/models/operations";
import { zodToJsonSchema } from "zod-to-json-schema";

/** A schema of the package as what is on the wire. */
function onTheWire(schema) {
  const options = { $refStrategy: "none", effectStrategy: "input", pipeStrategy: "input" };
  const { $schema, ...made } = zodToJsonSchema(schema, options);
  return withClosedLists(made);
}

/** The package takes words that it does not know, so that beside each list there stands any text: that is taken away. */
function withClosedLists(node) {
  if (Array.isArray(node)) return node.map(withClosedLists);
  if (typeof node !== "object" || node === null) return node;
  const made = Object.fromEntries(Object.entries(node).map(([name, value]) => [name, withClosedLists(value)]));
  const { anyOf = [] } = made;
  const known = anyOf.slice(0, -1);
  const isAny = (one) => one?.type === "string" && Object.keys(one).length === 1;
  const isOpen = known.length > 0 && known.every((one) => one.const ?? one.enum) && isAny(anyOf.at(-1));
  return isOpen ? { ...made, anyOf: known } : made;
}

/** What the package makes of an error beside what was answered has names with a dollar sign. */
function withoutOwnFields({ properties, required, ...schema }) {
  const isAnswered = (name) => !name.endsWith("$");
  return {
    ...schema,
    properties: Object.fromEntries(Object.entries(properties).filter(([name]) => isAnswered(name))),
    required: required.filter(isAnswered),
  };
}

/** The fields of an object that are sent in a URL, as parameters. */
function parameters(schema, pathNames) {
  const { properties } = onTheWire(schema);
  const sent = Object.entries(properties).filter(([name]) => !/idempotency/i.test(name));
  return sent.map(([name, own]) =>
    pathNames.includes(name)
      ? { name, in: "path", required: true, schema: own }
      : // Of several things to embed, there are commas between them.
        name === "embed"
        ? { name, in: "query", style: "form", explode: false, schema: { type: "array", items: own } }
        : { name, in: "query", schema: own },
  );
}

const json = (schema) => ({ content: { "application/json": { schema } } });
const hal = (description, schema) => ({ description, content: { "application/hal+json": { schema } } });
const error = hal("An error", withoutOwnFields(onTheWire(ErrorResponse$inboundSchema)));

/** What is embedded in a payment, which its schema does not say: what the lists of the same things have. */
const embedded = {
  type: "object",
  additionalProperties: false,
  properties: Object.assign(
    {},
    ...[
      ListCapturesResponseBody$inboundSchema,
      ListRefundsResponseBody$inboundSchema,
      ListChargebacksResponseBody$inboundSchema,
    ].map((list) => onTheWire(list).properties._embedded.properties),
  ),
};
function withEmbedded(schema, properties) {
  return { ...schema, properties: { ...schema.properties, _embedded: properties } };
}
const payment = withEmbedded(onTheWire(PaymentResponse$inboundSchema), embedded);

/** A list whose entries may have their payment embedded. */
function listOf(schema, name) {
  const list = onTheWire(schema);
  const { items } = list.properties._embedded.properties[name];
  const of = { type: "object", properties: { payment: onTheWire(PaymentResponse$inboundSchema) } };
  list.properties._embedded.properties[name].items = withEmbedded(items, of);
  return list;
}

const paymentId = { name: "paymentId", in: "path", required: true, schema: { type: "string", pattern: "^tr_.+$" } };
const key = { name: "idempotency-key", in: "header", schema: { type: "string" } };
const keyNeeded = { ...key, required: true };
const operation = (parameters, body, responses) => ({
  parameters,
  ...(body && { requestBody: { required: true, ...json(body) } }),
  responses: { ...responses, "4XX": error, "5XX": error },
});

const document = {
  openapi: "3.1.0",
  info: { title: "The part of Mollie's API that the adapter uses", version: "2" },
  servers: [{ url: "https://api.mollie.com" }],
  security: [{ apiKey: [] }],
  paths: {
    "/v2/payments": {
      post: operation([keyNeeded], onTheWire(PaymentRequest$outboundSchema), { 201: hal("The payment", payment) }),
      get: operation(parameters(ListPaymentsRequest$outboundSchema, []), null, {
        200: hal("Payments", onTheWire(ListPaymentsResponseBody$inboundSchema)),
      }),
    },
    "/v2/payments/{paymentId}": {
      get: operation(parameters(GetPaymentRequest$outboundSchema, ["paymentId"]), null, { 200: hal("It", payment) }),
      delete: {
        ...operation([paymentId, key], null, { 200: hal("It", payment) }),
        requestBody: json(onTheWire(CancelPaymentRequestBody$outboundSchema)),
      },
    },
    "/v2/payments/{paymentId}/release-authorization": {
      post: operation([paymentId, keyNeeded], onTheWire(ReleaseAuthorizationRequestBody$outboundSchema), {
        202: { description: "Taken, and done later" },
      }),
    },
    "/v2/payments/{paymentId}/captures": {
      post: operation([paymentId, keyNeeded], onTheWire(EntityCapture$outboundSchema), {
        201: hal("The capture", onTheWire(CaptureResponse$inboundSchema)),
      }),
    },
    "/v2/payments/{paymentId}/refunds": {
      post: operation([paymentId, keyNeeded], onTheWire(RefundRequest$outboundSchema), {
        201: hal("The refund", onTheWire(RefundResponse$inboundSchema)),
      }),
    },
    "/v2/refunds": {
      get: operation(parameters(ListAllRefundsRequest$outboundSchema, []), null, {
        200: hal("Refunds", listOf(ListAllRefundsResponseBody$inboundSchema, "refunds")),
      }),
    },
    "/v2/chargebacks": {
      get: operation(parameters(ListAllChargebacksRequest$outboundSchema, []), null, {
        200: hal("Chargebacks", listOf(ListAllChargebacksResponseBody$inboundSchema, "chargebacks")),
      }),
    },
  },
  components: { securitySchemes: { apiKey: { type: "http", scheme: "bearer" } } },
};

await writeFile(process.argv[2], JSON.stringify(document));

/** The API of trying a webhook endpoint. */
import { refuseBeyond } from "../../auth/rate-limits";
import { secretsKeys } from "../../auth/secret-keys";
import { json } from "../../http/answer";
import { problem } from "../../http/problem";
import { ok } from "../../http/responses";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import { findWebhookEndpoint, secretsOf } from "../endpoints";
import { send } from "../send";
import { secretOpener } from "../signature";
import { urlRules } from "../url";
import { TEST_TYPE } from "./messages";
import { INVALID_ENDPOINT_ID, TestSchema, toAttemptResponse, WebhookEndpointPath } from "./schemas";

export const webhookTestEvents = newApp();

export const testWebhookEndpointRoute = createRoute({
  method: "post",
  path: "/api/v1/webhook-endpoints/{endpoint_id}/test",
  operationId: "testWebhookEndpoint",
  summary: "Send a test event",
  description:
    "Sends one event of the type `webhook_endpoint.test` and waits for what comes of it, up to 15 seconds. It is sent " +
    "once, also to an endpoint that is disabled, and is no part of the log. A merchant has ten tests a minute. Takes no body.",
  tags: ["Webhooks"],
  ...requiresScope("webhooks:manage"),
  request: { params: WebhookEndpointPath },
  responses: { 200: ok(TestSchema, { description: "What came of it" }) },
  problems: ["webhook_endpoint_not_found"],
  problemExamples: INVALID_ENDPOINT_ID,
});

registerRoute(webhookTestEvents, testWebhookEndpointRoute, async (c, { params: { endpoint_id: id } }) => {
  const { merchantId } = c.get("principal");
  const beyond = await refuseBeyond(c, "WEBHOOK_TEST_RATE", String(merchantId));
  if (beyond) return beyond;
  const found = await findWebhookEndpoint(c.get("db"), merchantId, id);
  if (!found) return problem(c, "webhook_endpoint_not_found");
  const now = Date.now();
  const event = {
    id: `evt_test_${crypto.randomUUID()}`,
    type: TEST_TYPE,
    timestamp: new Date(now).toISOString(),
    data: { webhook_endpoint_id: id },
  };
  const openSecrets = secretOpener({ merchantId, endpointId: id }, secretsKeys(c.env));
  const target = { url: found.url, secrets: await openSecrets(secretsOf(found, now)), rules: urlRules(c.env) };
  const { succeeded, attempt } = await send(target, { id: event.id, body: JSON.stringify(event) });
  return json(c, 200, { event_id: event.id, succeeded, ...toAttemptResponse(attempt) });
});

/** The HTTP app: what happens to every request, the routes, and the API document made from them. */
import { license, version } from "../package.json";
import { answerOtherMethods, MAX_BODY_BYTES, newApp } from "./endpoint";
import { Outage } from "./outage";
import { problem } from "./problem";
import { docs } from "./routes/docs";
import { health } from "./routes/health";
import { payments } from "./routes/payments";
import { problems } from "./routes/problems";

export const app = newApp();

app.use(async (c, next) => {
  const requestId = crypto.randomUUID();
  c.set("requestId", requestId);
  c.header("X-Request-Id", requestId);
  c.header("X-Content-Type-Options", "nosniff");
  c.header("Cache-Control", "no-store");
  // A body that says how large it is need not be read to be refused.
  if (Number(c.req.header("Content-Length") ?? 0) > MAX_BODY_BYTES) return problem(c, "body_too_large");
  return next();
});

for (const routes of [health, payments, problems, docs]) app.route("/", routes);

let document: string | undefined;
app.get("/openapi.json", (c) => {
  document ??= JSON.stringify(
    app.getOpenAPI31Document({
      openapi: "3.1.0",
      info: {
        title: "Payment Service",
        version,
        description:
          "Creates, confirms, fails and refunds payments, exactly once. Every error is an RFC 9457 problem: " +
          "its `type` names the kind, its `detail` says what went wrong, its `instance` is the request id.",
        contact: { name: "The maintainers of the Payment Service" },
        license: { name: license, url: "https://spdx.org/licenses/MIT.html" },
      },
      servers: [{ url: "/" }],
      security: [],
      tags: [
        { name: "Payments", description: "Create a payment, ask actions of it, and read it" },
        { name: "Health", description: "Probes" },
        { name: "Problems", description: "The kinds of error, described" },
      ],
    }),
  );
  return c.body(document, 200, { "Content-Type": "application/json" });
});

answerOtherMethods(app);

app.notFound((c) => problem(c, "route_not_found"));

app.onError((error, c) => {
  const outage = error instanceof Outage;
  console.error({
    message: outage ? "outage" : "bug",
    request_id: c.get("requestId"),
    method: c.req.method,
    path: c.req.path,
    error: error.stack,
    cause: String(error.cause),
  });
  return problem(c, outage ? "unavailable" : "internal_error");
});

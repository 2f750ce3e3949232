/**
 * How the object of a webhook endpoint is named: with the merchant, so that no call of another merchant's can meet it,
 * whatever id that one asks for.
 */

/** An endpoint, as every statement about its deliveries names it. */
export interface EndpointId {
  readonly merchantId: number;
  readonly endpointId: number;
}

export function objectName({ merchantId, endpointId }: EndpointId): string {
  return `${merchantId}:${endpointId}`;
}

/** @throws Error when nobody of this service has named the object so */
export function readObjectName(name: string | undefined): EndpointId {
  const [, merchantId, endpointId] = /^([1-9]\d*):([1-9]\d*)$/.exec(name ?? "") ?? [];
  if (merchantId === undefined || endpointId === undefined) throw new Error(`No name of an endpoint's object: ${name}`);
  return { merchantId: Number(merchantId), endpointId: Number(endpointId) };
}

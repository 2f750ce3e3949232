/**
 * How an object is named: with the merchant, so that no call of another merchant's can meet it, whatever id that one
 * asks for.
 */

/** A thing of a merchant that has an object: a payment, or a webhook endpoint. */
export interface ObjectId {
  readonly merchantId: number;
  readonly id: number;
}

export function objectName({ merchantId, id }: ObjectId): string {
  return `${merchantId}:${id}`;
}

/** @throws Error when the name is none of `objectName` */
export function readObjectName(name: string | undefined): ObjectId {
  const read = /^([1-9]\d*):([1-9]\d*)$/.exec(name ?? "");
  if (read === null) throw new Error(`No name of a merchant's object: ${name}`);
  return { merchantId: Number(read[1]), id: Number(read[2]) };
}

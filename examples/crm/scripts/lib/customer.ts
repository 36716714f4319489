/**
 * One customer, from the shapes of fifteen years to the one that the application reads from now on.
 *
 * Text that nobody can read is neither guessed nor dropped: `problemOf` names the field, and the migration rejects
 * the document, which stays as it is until a person has looked at it.
 */
import { type Address, toAddress } from './address.js';
import { toDate } from './date.js';
import { toEmail } from './email.js';
import { toFlag } from './flag.js';
import { type PersonName, toName } from './person-name.js';
import { toPhone } from './phone.js';
import { toTags } from './tags.js';

/** Anything may be missing, and most things come in several types. */
export type LegacyCustomer = {
  _id: unknown;
  /** There already where the new application wrote it beside the old fields. */
  name?: PersonName | null;
  fullName?: unknown;
  firstName?: unknown;
  lastName?: unknown;
  email?: unknown;
  phone?: unknown;
  address?: unknown;
  createdAt?: unknown;
  lastContactAt?: unknown;
  birthday?: unknown;
  balance?: unknown;
  active?: unknown;
  tags?: unknown;
  legacyFax?: unknown;
  schemaVersion?: number;
  [other: string]: unknown;
};

export type Customer = {
  _id: unknown;
  name: PersonName | null;
  email: string | null;
  phone: string | null;
  phoneExtension?: string;
  address: Address | null;
  createdAt: Date | null;
  lastContactAt: Date | null;
  birthday: Date | null;
  /** The old `balance`, in the type that it had: Decimal128, double, integer or text. */
  credit?: unknown;
  active: boolean;
  tags: string[];
  schemaVersion: 2;
  [other: string]: unknown;
};

/** What reads each field; `undefined` is its way to say that it can't. */
const READERS = {
  email: toEmail,
  phone: toPhone,
  address: toAddress,
  createdAt: toDate,
  lastContactAt: toDate,
  birthday: toDate,
  active: toFlag,
  tags: toTags,
};

/** Why the document can't be migrated, without showing any of its values; `undefined` when it can. */
export function problemOf(legacy: Readonly<LegacyCustomer>): string | undefined {
  for (const [field, read] of Object.entries(READERS)) {
    if (read(legacy[field]) === undefined) return `${field} cannot be read`;
  }
  if (toName(legacy) === undefined) return 'the name cannot be read';
  const isReachable = toEmail(legacy.email) !== null || toPhone(legacy.phone) !== null;
  return isReachable ? undefined : 'neither e-mail nor phone';
}

/** The new shape, but for `credit`, whose type only the migration can keep. Ask `problemOf` first. */
export function toCustomer(legacy: Readonly<LegacyCustomer>): Customer {
  const { name, fullName, firstName, lastName, balance, legacyFax, ...rest } = legacy;
  const phone = toPhone(legacy.phone);
  return {
    ...rest,
    name: toName({ fullName, firstName, lastName }) ?? name ?? null,
    email: toEmail(legacy.email) ?? null,
    phone: phone?.number ?? null,
    ...(phone?.extension !== undefined && { phoneExtension: phone.extension }),
    address: toAddress(legacy.address) ?? null,
    createdAt: toDate(legacy.createdAt) ?? null,
    lastContactAt: toDate(legacy.lastContactAt) ?? null,
    birthday: toDate(legacy.birthday) ?? null,
    active: toFlag(legacy.active) ?? true,
    tags: toTags(legacy.tags) ?? [],
    schemaVersion: 2,
  };
}

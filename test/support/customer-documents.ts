/**
 * Customers of a bank and their accounts, made up: the same bytes each time. Shaped as old applications leave such
 * documents: an address in one text, birth dates before 1970, an object keyed by ids, a field that hardly any document
 * has, account numbers of which one names two accounts; and values that drivers lose, of every BSON type.
 */
import {
  Binary,
  BSONRegExp,
  BSONSymbol,
  Code,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  serialize,
  Timestamp,
  UUID,
} from 'bson';
import type { Document } from 'mongodb';
import { randomFrom } from './crash.js';

const CUSTOMERS = 500;
const SEED = 20_261_201;
/** Two customers have an account each under this number, and neither knows which one is meant. */
const SHARED_NUMBER = 627_001;
const MOST_ACCOUNTS = 6;

const FIRST = ['Ada', 'Bo', 'Chiara', 'Dmitri', 'Élodie', 'Farid', 'Grace', 'Håkon', 'Inés', 'Jun', 'Kofi', 'Łucja'];
const LAST = ['Andersen', 'Brandt', 'Costa', 'Dubois', 'Eriksson', 'Fournier', 'Okafor', 'O’Brien', 'Tanaka', 'Young'];
const STREETS = ['Mill Lane', 'Harbor View Apt. 12', 'Old Post Road', 'Station Street Suite 7', 'Orchard Way'];
const CITIES = ['Port Amelie', 'Lake Bennett', 'North Carlow', 'Dunmore', 'East Ellery'];
const STATES = ['CO', 'IA', 'WA', 'VT', 'NM', 'ME'];
const PRODUCTS = ['Brokerage', 'Commodity', 'CurrencyService', 'Derivatives', 'InvestmentFund'];
const TIERS = ['Bronze', 'Silver', 'Gold', 'Platinum'];
const BENEFITS = ['concierge services', 'sports tickets', 'dedicated account manager', 'airline lounge access'];

/** In place of a value that no driver writes: see `bytesOf`. */
const AS_UNDEFINED = 'asUndefined';

/** What an import has left in some of the customers: one value of each kind, with the edges that drivers lose. */
const ODD: readonly (() => unknown)[] = [
  () => new Double(1),
  () => new Double(-0),
  () => new Double(Number.NaN),
  () => new Double(Number.NEGATIVE_INFINITY),
  () => Long.fromNumber(5),
  () => Long.fromString('9007199254740993'),
  () => Decimal128.fromString('5.00'),
  () => Decimal128.fromString('NaN'),
  () => new Int32(5),
  () => null,
  () => ({ [AS_UNDEFINED]: null }),
  () => new Date(-1),
  () => new Timestamp({ t: 1, i: 2 }),
  () => new Binary(Buffer.from([1, 2, 3]), 0),
  () => new Binary(Buffer.from([1, 2]), 2),
  () => new Binary(Buffer.alloc(16, 7), 3),
  () => new Binary(Buffer.from([1]), 128),
  () => new UUID('2667fae8-764d-4013-b7e1-197a3de3d629'),
  () => new BSONRegExp('a.b', 'imsx'),
  () => new Code('f()'),
  () => new Code('f()', { x: new Double(1), y: Long.fromNumber(2) }),
  () => new BSONSymbol('symbol'),
  () => new MinKey(),
  () => new MaxKey(),
  () => ({ $ref: 'accounts', $id: new Double(1), $db: 'bank' }),
  () => ({ '': 1, $dollar: 2, 'a.b': new Double(3), toBSON: 4 }),
  () => [new Double(1), new Int32(1), [[]], {}, null],
  () => 'täxt \u0000 with zero',
];
/** One customer in so many has such a value. */
const ODD_SHARE = 4;

type Random = () => number;

const upTo = (random: Random, count: number): number => Math.floor(random() * count);
const pick = <T>(random: Random, items: readonly T[]): T => items[upTo(random, items.length)] as T;
const some = <T>(random: Random, items: readonly T[]): T[] => items.filter(() => random() < 0.5);
const hex = (random: Random, length: number): string =>
  Array.from({ length }, () => upTo(random, 16).toString(16)).join('');
const digits = (random: Random, length: number): string => Array.from({ length }, () => upTo(random, 10)).join('');

function addressFrom(random: Random): string {
  // The military's post has neither a street nor a comma.
  if (random() < 0.1) return `Unit ${digits(random, 4)} Box ${digits(random, 4)}\nDPO AA ${digits(random, 5)}`;
  return `${1 + upTo(random, 9_999)} ${pick(random, STREETS)}\n${pick(random, CITIES)}, ${pick(random, STATES)} ${digits(random, 5)}`;
}

function tiersFrom(random: Random): Document {
  const count = random() < 0.5 ? 0 : 1 + upTo(random, 3);
  const tiers = Array.from({ length: count }, () => {
    const id = hex(random, 32);
    const [tier, benefits] = [pick(random, TIERS), some(random, BENEFITS)];
    // The order of the fields depends on who wrote them.
    return [id, random() < 0.1 ? { tier, id, active: true, benefits } : { tier, benefits, active: true, id }] as const;
  });
  return Object.fromEntries(tiers);
}

function customerFrom(random: Random, n: number, accounts: readonly number[]): Document {
  const [first, last] = [pick(random, FIRST), pick(random, LAST)];
  const mail = `${first}.${last}${n}@${random() < 0.2 ? 'Example.TEST' : 'example.test'}`;
  return {
    _id: new ObjectId(hex(random, 24)),
    username: `user${n}`,
    name: `${first} ${last}`,
    address: addressFrom(random),
    // From 1930 to 2000.
    birthdate: new Date(Date.UTC(1930, 0, 1) + upTo(random, 70 * 365) * 86_400_000),
    email: random() < 0.5 ? mail.toLowerCase() : mail,
    ...(n % 97 === 0 ? { active: true } : {}),
    accounts: accounts.map((number) => new Int32(number)),
    tier_and_details: tiersFrom(random),
    ...(n % ODD_SHARE === 0 ? { imported: { value: ODD[(n / ODD_SHARE) % ODD.length]?.() } } : {}),
  };
}

export interface Bank {
  readonly customers: readonly Document[];
  /** Each of them is a customer's, by its number. */
  readonly accounts: readonly Document[];
}

/** The 500 customers of the bank, and all of their accounts. */
export function generateBank(): Bank {
  const random = randomFrom(SEED);
  const numbers = Array.from({ length: CUSTOMERS }, (_, n) =>
    Array.from({ length: 1 + upTo(random, MOST_ACCOUNTS) }, (__, at) =>
      at === 0 && (n === 7 || n === 311) ? SHARED_NUMBER : 100_000 + n * 1_000 + at,
    ),
  );
  const accounts = numbers.flat().map((number) => ({
    _id: new ObjectId(hex(random, 24)),
    account_id: new Int32(number),
    limit: new Int32(random() < 0.9 ? 10_000 : 1_000 * (3 + upTo(random, 7))),
    products: ['InvestmentStock', ...some(random, PRODUCTS)],
  }));
  const customers = numbers.map((own, n) => customerFrom(random, n, own));
  // The collection is in another order than the customers are.
  accounts.sort((a, b) => (String(a._id) < String(b._id) ? -1 : 1));
  return { customers, accounts };
}

/** A document as it is to be stored, values that no driver writes included. */
export function bytesOf(document: Document): Buffer {
  const bytes = Buffer.from(serialize(document, { ignoreUndefined: false }));
  const at = bytes.indexOf(`${AS_UNDEFINED}\0`);
  // The type in front of the name: undefined instead of null.
  if (at > 0) bytes[at - 1] = 0x06;
  return bytes;
}

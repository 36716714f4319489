/**
 * Customers of a legacy CRM as they really are: fifteen years of forms, imports and good intentions in one collection.
 *
 * Deterministic: the same seed gives the same bytes on every machine, in every time zone and on every day, with the
 * same version of faker (its word lists change between versions). A shorter run is the beginning of a longer one.
 */
import { Binary, Double, Long, ObjectId, UUID } from 'bson';
import * as messy from './messy-values.js';

/**
 * @typedef {import('./messy-values.js').Random} Random
 * @typedef {import('./messy-values.js').Person} Person
 * @typedef {Record<string, unknown>} Doc
 */

/**
 * @param {object} [options]
 * @param {number} [options.count] documents to make, 20,000 by default
 * @param {number} [options.seed]
 * @param {number} [options.broken] how many of them the example migration has to reject, 0 by default; spread evenly
 * @returns {Generator<Doc, void, undefined>}
 */
export function* generateCustomers({ count = 20_000, seed = 20_261_123, broken = 0 } = {}) {
  const random = messy.createRandom(seed);
  for (let index = 0; index < count; index += 1) {
    const customer = random.chance(4) ? currentCustomer(random, index) : legacyCustomer(random, index);
    const brokenSoFar = Math.floor((index * broken) / count);
    const isBroken = Math.floor(((index + 1) * broken) / count) > brokenSoFar;
    yield withoutMissing(isBroken ? { ...customer, ...BREAKAGES[brokenSoFar % BREAKAGES.length] } : customer);
  }
}

/** What nobody can read. A document in the new shape becomes an old one, so that the migration looks at it. */
const BREAKAGES = [
  { schemaVersion: undefined, email: undefined, phone: undefined },
  { schemaVersion: undefined, email: 'see business card' },
  { schemaVersion: undefined, phone: 'ask Maria at the desk' },
  { schemaVersion: undefined, createdAt: '31/02/2015' },
];

/** @param {Doc} doc */
function withoutMissing(doc) {
  return Object.fromEntries(Object.entries(doc).filter(([, value]) => value !== undefined));
}

/** A customer as the old forms wrote it. Whoever has no e-mail has a phone. @param {Random} random @param {number} index */
function legacyCustomer(random, index) {
  const person = messy.person(random);
  const created = messy.moment(random);
  const email = messy.messyEmail(random, person);
  const isReachable = email?.includes('@');
  return {
    _id: identifier(random, index, created),
    ...nameFields(random, person),
    email,
    phone: isReachable ? messy.messyPhone(random) : messy.phone(random),
    ...workFields(random),
    address: messy.messyAddress(random),
    createdAt: messy.messyMoment(random, created),
    lastContactAt: random.chance(70) ? messy.messyMoment(random, messy.moment(random)) : undefined,
    birthday: random.chance(40) ? messy.messyDay(random, messy.birthday(random)) : undefined,
    balance: messy.messyAmount(random),
    active: messy.messyFlag(random),
    tags: messy.messyTags(random),
    notes: notes(random),
    legacyFax: random.chance(25) ? `(${random.integer(201, 989)}) 555-01${random.integer(10, 99)}` : undefined,
    schemaVersion: random.chance(15) ? 1 : undefined,
    ...oddFields(random),
  };
}

/** A customer as the new application writes it: what the migration leaves alone. @param {Random} random @param {number} index */
function currentCustomer(random, index) {
  const { first, last, email } = messy.person(random);
  const created = messy.moment(random);
  return {
    _id: objectId(random, index, created),
    email,
    phone: `+1${random.integer(201, 989)}55501${random.integer(10, 99)}`,
    ...workFields(random),
    address: messy.address(random),
    createdAt: created,
    lastContactAt: messy.moment(random),
    birthday: random.chance(40) ? messy.birthday(random) : null,
    active: random.chance(85),
    tags: messy.tags(random),
    notes: notes(random),
    name: { first, last },
    credit: new Double(random.integer(0, 2_000_000) / 100),
    schemaVersion: 2,
  };
}

/** Three generations of keys; the index makes each of them unique. @param {Random} random @param {number} index @param {Date} created */
function identifier(random, index, created) {
  const generation = random.weighted(KEYS);
  if (generation === 'integer') return 100_000 + index;
  if (generation === 'text') return `legacy-${String(index).padStart(6, '0')}`;
  return objectId(random, index, created);
}

/** @type {ReadonlyArray<readonly [number, 'objectId' | 'integer' | 'text']>} */
const KEYS = [
  [86, 'objectId'],
  [7, 'integer'],
  [7, 'text'],
];

/** @param {Random} random @param {number} index @param {Date} created */
function objectId(random, index, created) {
  const seconds = hex(created.getTime() / 1000, 8);
  const machine = random.pick(['5c1a07e3b2', '9f40d2a6c8', '03be71f5d9']);
  return ObjectId.createFromHexString(seconds + machine + hex(index % 0x1000000, 6));
}

/** @param {number} number @param {number} digits */
const hex = (number, digits) => number.toString(16).padStart(digits, '0');

/** @param {Random} random @param {Person} person */
function nameFields(random, { first, last }) {
  return random.weighted([
    [34, { fullName: `${first} ${last}` }],
    [14, { fullName: `${last}, ${first}` }],
    [4, { fullName: ` ${first}  ${last}`.toUpperCase() }],
    [34, { firstName: first, lastName: last }],
    [6, { firstName: `${first} `, lastName: last }],
    [3, { firstName: first, lastName: null }],
    [2, { fullName: last }],
    [1, { fullName: null }],
    [2, {}],
  ]);
}

/** @param {Random} random */
function workFields(random) {
  return {
    company: random.chance(75) ? random.faker().company.name() : undefined,
    jobTitle: random.chance(45) ? random.english.person.jobTitle() : undefined,
    source: random.pick(['web', 'fair', 'phone', 'import-2014', 'import-2019', 'referral', null]),
    owner: random.pick(['ana', 'bruno', 'carla', 'dieter', 'emma', undefined]),
  };
}

/** Text in most, a list of sub-documents in some. @param {Random} random */
function notes(random) {
  const texts = Array.from({ length: random.weighted(NOTE_COUNTS) }, () => note(random));
  if (texts.length === 0) return random.pick([null, undefined, '']);
  if (random.chance(65)) return texts.join(random.pick([' ', '\n', ' -- ']));
  return texts.map((text) => ({ at: messy.moment(random), by: random.pick(['ana', 'bruno', 'carla']), text }));
}

/** @type {ReadonlyArray<readonly [number, number]>} */
const NOTE_COUNTS = [
  [14, 0],
  [36, 1],
  [26, 2],
  [16, 3],
  [8, 6],
];

/** @param {Random} random */
function note(random) {
  const { commerce, company, hacker } = random.english;
  return random.weighted([
    [3, () => `Asked about the ${commerce.productName()}, wants ${random.integer(2, 900)} of them.`],
    [3, () => `Call back about "${company.catchPhrase()}".`],
    [2, () => `Support case ${random.integer(10_000, 99_999)}: ${hacker.phrase()}`],
    [2, () => `They plan to ${company.buzzPhrase()}; offer ${random.integer(1, 40)} % at most.`],
  ])();
}

/** Types that plain JavaScript has no name for, in a few documents each. @param {Random} random */
function oddFields(random) {
  return {
    rating: random.chance(10) ? new Double(random.integer(1, 5)) : undefined,
    erpNumber: random.chance(5) ? Long.fromString(`90071992547${random.integer(50_000, 99_999)}`) : undefined,
    importKey: random.chance(5) ? new UUID(random.english.string.uuid()).toBinary() : undefined,
    photoHash: random.chance(3) ? new Binary(Uint8Array.from({ length: 20 }, () => random.integer(0, 255))) : undefined,
    consent: random.chance(20) ? { newsletter: random.chance(50), at: messy.moment(random) } : undefined,
  };
}

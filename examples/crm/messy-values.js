/**
 * The formats in which a CRM of fifteen years holds the same thing: each table says how often, and how it is written.
 * `undefined` means that the field is missing. All arithmetic with dates is done in UTC.
 */
import { base, de, en, Faker, generateMersenne53Randomizer, pt_PT } from '@faker-js/faker';
import { Decimal128, Double, Long } from 'bson';

/**
 * @typedef {ReturnType<typeof createRandom>} Random
 * @typedef {{ first: string, last: string, email: string }} Person
 * @typedef {{ street: string, city: string, postalCode: string, country: string }} Address
 */

/** The day on which the generated CRM is looked at; nothing in it is younger. */
const TODAY = Date.UTC(2026, 10, 23, 9);
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** A source of chance that depends on nothing but the seed. @param {number} seed */
export function createRandom(seed) {
  const randomizer = generateMersenne53Randomizer(seed);
  const [english, portuguese, german] = [
    new Faker({ locale: [en, base], randomizer }),
    new Faker({ locale: [pt_PT, en, base], randomizer }),
    new Faker({ locale: [de, en, base], randomizer }),
  ];
  for (const faker of [english, portuguese, german]) faker.setDefaultRefDate(TODAY);

  /** @param {number} min @param {number} max both included */
  const integer = (min, max) => min + Math.floor(randomizer.next() * (max - min + 1));
  /** @template T @param {readonly T[]} list @returns {T} */
  const pick = (list) => /** @type {T} */ (list[integer(0, list.length - 1)]);
  /** @template T @param {ReadonlyArray<readonly [number, T]>} table weights and values @returns {T} */
  const weighted = (table) => {
    let roll = randomizer.next() * table.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, value] of table) {
      roll -= weight;
      if (roll < 0) return value;
    }
    throw new RangeError('a table of weights is empty');
  };
  return {
    integer,
    pick,
    weighted,
    /** @param {number} percent */
    chance: (percent) => randomizer.next() * 100 < percent,
    /** One of the languages spoken in this CRM. */
    faker: () => pick([english, english, portuguese, german]),
    english,
  };
}

/** @param {Random} random @returns {Person} */
export function person(random) {
  const faker = random.faker();
  const first = faker.person.firstName();
  const last = faker.person.lastName();
  const domain = random.pick(['example.com', 'example.org', 'example.net', 'mail.example.test']);
  return { first, last, email: `${ascii(first)}.${ascii(last)}${random.integer(1, 999)}@${domain}` };
}

/** @param {string} name */
function ascii(name) {
  return name
    .normalize('NFD')
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '');
}

/** @type {ReadonlyArray<readonly [number, (email: string) => string | null | undefined]>} */
const EMAILS = [
  [44, (email) => email],
  [10, (email) => email.toUpperCase()],
  [12, (email) => email.replace(/(^|\.)[a-z]/g, (letter) => letter.toUpperCase())],
  [10, (email) => `  ${email} `],
  [4, (email) => `${email}\t`],
  [5, (email) => `mailto:${email}`],
  [2, (email) => ` MailTo:${email}`],
  [4, () => null],
  [5, () => undefined],
  [3, () => ''],
  [1, () => 'n/a'],
];

/** @param {Random} random @param {Person} person */
export const messyEmail = (random, person) => random.weighted(EMAILS)(person.email);

/**
 * From the ranges kept for fiction: 555-01xx in North America, 7700 900xxx in Britain. The Portuguese prefix 900 is made up.
 * @type {ReadonlyArray<readonly [number, (area: number, line: string, digits: number) => unknown]>}
 */
const PHONES = [
  [12, (area, line) => `(${area}) 555-${line}`],
  [10, (area, line) => `${area}-555-${line}`],
  [6, (_area, line) => `555.${line}`],
  [8, (area, line) => `+1 ${area} 555 ${line}`],
  [6, (area, line) => `1-${area}-555-${line}`],
  [6, (area, line, digits) => `${area}.555.${line} ext. ${digits}`],
  [3, (area, line, digits) => `${area}-555-${line} x${digits}`],
  [12, (_area, _line, digits) => `+351 900 ${digits} ${digits + 7}`],
  [5, (_area, _line, digits) => `00351900${digits}${digits + 7}`],
  [5, (_area, _line, digits) => `+44 7700 900${digits}`],
  [3, (area, line) => ` tel:+1-${area}-555-${line}`],
  [5, (_area, line) => Number(`555${line}`)],
  [5, (area, line) => new Double(Number(`${area}555${line}`))],
  [2, (area, line) => Long.fromNumber(Number(`1${area}555${line}`))],
];

const NO_PHONES = [null, null, undefined, undefined, '', 'n/a'];

/** @param {Random} random */
export const phone = (random) =>
  random.weighted(PHONES)(random.integer(201, 989), `01${random.integer(10, 99)}`, random.integer(100, 992));

/** @param {Random} random */
export const messyPhone = (random) => (random.chance(12) ? random.pick(NO_PHONES) : phone(random));

/** A moment between 2009 and the day before `TODAY`, in whole seconds. @param {Random} random */
export const moment = (random) => new Date(random.integer(Date.UTC(2009, 0, 5) / 1000, TODAY / 1000 - 86_400) * 1000);

/** A birthday. @param {Random} random */
export const birthday = (random) => new Date(random.integer(-14_000, 13_000) * 86_400_000);

/** @param {number} number */
const two = (number) => String(number).padStart(2, '0');

/** @type {ReadonlyArray<readonly [number, (date: Date) => unknown]>} */
const DAYS = [
  [30, (date) => date],
  [10, (date) => date.toISOString()],
  [4, (date) => date.toISOString().replace('.000Z', '+01:00')],
  [10, (date) => date.toISOString().slice(0, 10)],
  [6, (date) => date.toISOString().slice(0, 19).replace('T', ' ')],
  [12, (date) => `${two(date.getUTCDate())}/${two(date.getUTCMonth() + 1)}/${date.getUTCFullYear()}`],
  [10, (date) => `${MONTHS[date.getUTCMonth()]} ${date.getUTCDate()}, ${date.getUTCFullYear()}`],
  [3, () => null],
  [4, () => undefined],
  [1, () => '0000-00-00'],
];

/** @type {typeof DAYS} */
const MOMENTS = [
  ...DAYS,
  [5, (date) => date.getTime() / 1000],
  [3, (date) => date.getTime()],
  [2, (date) => String(date.getTime() / 1000)],
];

/** @param {Random} random @param {Date} date */
export const messyMoment = (random, date) => random.weighted(MOMENTS)(date);

/** Never a number: before 1973 nobody can tell seconds from milliseconds. @param {Random} random @param {Date} date */
export const messyDay = (random, date) => random.weighted(DAYS)(date);

/** @type {ReadonlyArray<readonly [number, (units: number, cents: string) => unknown]>} */
const AMOUNTS = [
  [30, (units, cents) => Decimal128.fromString(`${units}.${cents}`)],
  [22, (units, cents) => Number(`${units}.${cents}`)],
  [6, (units) => new Double(units)],
  [16, (units, cents) => `${units}.${cents}`],
  [6, (units, cents) => `€ ${units},${cents}`],
  [8, (units) => units],
  [2, (units) => Long.fromNumber(units)],
  [4, () => null],
  [6, () => undefined],
];

/** @param {Random} random */
export const messyAmount = (random) =>
  random.weighted(AMOUNTS)(random.integer(-500, 20_000), two(random.integer(0, 99)));

/** @type {ReadonlyArray<readonly [number, unknown]>} */
const FLAGS = [
  [40, true],
  [12, false],
  [8, 'Y'],
  [5, 'N'],
  [5, 'yes'],
  [2, 'no'],
  [6, 1],
  [4, 0],
  [4, null],
  [14, undefined],
];

/** @param {Random} random */
export const messyFlag = (random) => random.weighted(FLAGS);

/** @param {Random} random @returns {Address} */
export function address(random) {
  const { location } = random.faker();
  return {
    street: location.streetAddress().replaceAll(',', ''),
    city: location.city(),
    postalCode: location.zipCode(),
    country: location.country(),
  };
}

/** @type {ReadonlyArray<readonly [number, (address: Address, latitude: number) => unknown]>} */
const ADDRESSES = [
  [30, ({ street, city, postalCode, country }) => `${street}, ${city}, ${postalCode}, ${country}`],
  [10, ({ street, city, postalCode, country }) => `${street}\n${city}\n${postalCode}\n${country}\n`],
  [5, ({ street }) => street],
  [25, (address) => address],
  [12, ({ street, city, postalCode, country }) => ({ line1: street, town: city, zip: postalCode, country })],
  [10, (address, latitude) => ({ ...address, geo: { lat: latitude, lng: -latitude / 2 } })],
  [3, () => null],
  [5, () => undefined],
];

/** @param {Random} random */
export const messyAddress = (random) => random.weighted(ADDRESSES)(address(random), random.integer(-800, 800) / 16);

const TAGS = [
  'vip',
  'wholesale',
  'newsletter',
  'trade-fair',
  'reseller',
  'late payer',
  'public sector',
  'prospect',
  'press',
];

/** @type {ReadonlyArray<readonly [number, (tags: string[]) => unknown]>} */
const TAG_LISTS = [
  [40, (tags) => tags],
  [10, (tags) => [...tags, ` ${tags[0]} `.toUpperCase()]],
  [22, (tags) => tags.join(', ')],
  [6, (tags) => tags.join(';')],
  [6, () => []],
  [3, () => ''],
  [3, () => null],
  [10, () => undefined],
];

/** @param {Random} random */
export const tags = (random) => [...new Set(Array.from({ length: random.integer(1, 4) }, () => random.pick(TAGS)))];

/** @param {Random} random */
export const messyTags = (random) => random.weighted(TAG_LISTS)(tags(random));

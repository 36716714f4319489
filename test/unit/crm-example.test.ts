import { createHash } from 'node:crypto';
import * as BSON from 'bson';
import { afterEach, describe, expect, it } from 'vitest';
import { generateCustomers } from '../../examples/crm/generate.js';
import { toAddress } from '../../examples/crm/scripts/lib/address.js';
import { type LegacyCustomer, problemOf, toCustomer } from '../../examples/crm/scripts/lib/customer.js';
import { toDate } from '../../examples/crm/scripts/lib/date.js';
import { toEmail } from '../../examples/crm/scripts/lib/email.js';
import { toFlag } from '../../examples/crm/scripts/lib/flag.js';
import { toName } from '../../examples/crm/scripts/lib/person-name.js';
import { toPhone } from '../../examples/crm/scripts/lib/phone.js';
import { toTags } from '../../examples/crm/scripts/lib/tags.js';

type Doc = Record<string, unknown>;

const bytesOf = (docs: Iterable<Doc>): Buffer[] => [...docs].map((doc) => Buffer.from(BSON.serialize(doc)));

function hashOf(docs: Iterable<Doc>): string {
  const hash = createHash('sha256');
  for (const bytes of bytesOf(docs)) hash.update(bytes);
  return hash.digest('hex');
}

/** The documents as a transform is given them: read back from BSON, and frozen. */
function stored(options: { count: number; broken?: number }): LegacyCustomer[] {
  return bytesOf(generateCustomers(options)).map((bytes) =>
    deepFreeze(BSON.deserialize(bytes, { promoteBuffers: false, bsonRegExp: true }) as LegacyCustomer),
  );
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}

const isLegacy = (doc: LegacyCustomer): boolean => doc.schemaVersion !== 2;

describe('the generator', () => {
  const timeZone = process.env['TZ'];
  afterEach(() => {
    if (timeZone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = timeZone;
  });

  it('gives the same bytes for the same seed, whatever the time zone', () => {
    const first = hashOf(generateCustomers({ count: 1000 }));
    process.env['TZ'] = 'Asia/Tokyo';
    expect(hashOf(generateCustomers({ count: 1000 }))).toBe(first);
    expect(hashOf(generateCustomers({ count: 1000, seed: 2 }))).not.toBe(first);
  });

  it('begins a longer run as it does a shorter one', () => {
    const longer = bytesOf(generateCustomers({ count: 300 })).slice(0, 100);
    expect(longer).toEqual(bytesOf(generateCustomers({ count: 100 })));
  });

  it('never uses an _id twice, nor leaves a value undefined', () => {
    const docs = [...generateCustomers({ count: 3000 })];
    expect(new Set(docs.map((doc) => String(doc['_id']))).size).toBe(3000);
    expect(docs.flatMap((doc) => Object.values(doc))).not.toContain(undefined);
  });
});

const isText =
  (pattern: RegExp) =>
  (value: unknown): boolean =>
    typeof value === 'string' && pattern.test(value);
const hasType =
  (type: string) =>
  (value: unknown): boolean =>
    (value as { _bsontype?: string } | null | undefined)?._bsontype === type;
const hasField =
  (field: string) =>
  (value: unknown): boolean =>
    typeof value === 'object' && value !== null && field in value;
const isNull = (value: unknown): boolean => value === null;
const isMissing = (value: unknown): boolean => value === undefined;
const isDate = (value: unknown): boolean => value instanceof Date;
const isNumber = (value: unknown): boolean => typeof value === 'number';

const FORMATS: Record<string, Record<string, (value: unknown) => boolean>> = {
  _id: { objectId: hasType('ObjectId'), integer: isNumber, text: isText(/^legacy-\d{6}$/) },
  email: {
    plain: isText(/^[a-z0-9.]+@[a-z.]+$/),
    shouted: isText(/^[A-Z0-9.]+@[A-Z.]+$/),
    'mixed case': isText(/^[A-Z][a-z]+\.[A-Z]/),
    padded: isText(/^ {2}\S+ $/),
    mailto: isText(/mailto:/i),
    empty: isText(/^$/),
    'n/a': isText(/^n\/a$/),
    null: isNull,
    missing: isMissing,
  },
  fullName: { 'first last': isText(/^[^,]+ [^,]+$/), 'last, first': isText(/, /), null: isNull, missing: isMissing },
  lastName: { text: isText(/\w/), null: isNull, missing: isMissing },
  phone: {
    brackets: isText(/^\(\d{3}\) 555-01\d\d$/),
    dashes: isText(/^\d{3}-555-01\d\d$/),
    local: isText(/^555\.01\d\d$/),
    '+1': isText(/^\+1 /),
    '1-': isText(/^1-/),
    'ext.': isText(/ ext\. \d+$/),
    x: isText(/ x\d+$/),
    '+351': isText(/^\+351 900 /),
    '00351': isText(/^00351/),
    '+44': isText(/^\+44 /),
    tel: isText(/tel:/),
    int32: isNumber,
    double: hasType('Double'),
    long: hasType('Long'),
    'n/a': isText(/^n\/a$/),
    empty: isText(/^$/),
    null: isNull,
    missing: isMissing,
  },
  createdAt: {
    date: isDate,
    iso: isText(/T.*Z$/),
    'iso with offset': isText(/T.*\+01:00$/),
    day: isText(/^\d{4}-\d\d-\d\d$/),
    'day and time': isText(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
    'day first': isText(/^\d\d\/\d\d\/\d{4}$/),
    'in words': isText(/^[A-Z][a-z]{2} \d{1,2}, \d{4}$/),
    seconds: (value) => isNumber(value) && Number(value) < 2 ** 31,
    milliseconds: (value) => isNumber(value) && Number(value) > 1e12,
    'seconds as text': isText(/^\d{10}$/),
    zeros: isText(/^0000-00-00$/),
    null: isNull,
    missing: isMissing,
  },
  address: {
    commas: isText(/^[^,\n]+, [^,\n]+, [^,\n]+, /),
    lines: isText(/\n.*\n/),
    'street only': isText(/^[^,\n]+$/),
    'sub-document': hasField('street'),
    'old names': hasField('town'),
    geo: hasField('geo'),
    null: isNull,
    missing: isMissing,
  },
  balance: {
    decimal: hasType('Decimal128'),
    double: (value) => isNumber(value) && !Number.isInteger(value),
    'whole double': hasType('Double'),
    integer: Number.isInteger,
    long: hasType('Long'),
    text: isText(/^-?\d+\.\d\d$/),
    euro: isText(/^€ /),
    null: isNull,
    missing: isMissing,
  },
  active: { bool: (value) => typeof value === 'boolean', text: isText(/^Y$/), number: isNumber, missing: isMissing },
  tags: { list: Array.isArray, commas: isText(/, /), semicolons: isText(/;/), null: isNull, missing: isMissing },
  notes: { text: isText(/\w/), list: Array.isArray, null: isNull, missing: isMissing },
  erpNumber: { long: hasType('Long'), missing: isMissing },
  importKey: { binary: hasType('Binary'), missing: isMissing },
  legacyFax: { text: isText(/^\(/), missing: isMissing },
  schemaVersion: { one: (value) => value === 1, two: (value) => value === 2, missing: isMissing },
};

describe('the generated customers', () => {
  const docs = [...generateCustomers({ count: 1000 })];
  const formats = Object.entries(FORMATS).flatMap(([field, kinds]) =>
    Object.entries(kinds).map(([kind, is]) => ({ field, kind, is })),
  );

  it.each(formats)('hold $field as $kind', ({ field, is }) => {
    expect(docs.some((doc) => is(doc[field]))).toBe(true);
  });
});

describe('the migration of one customer', () => {
  it('rejects none of the generated customers', () => {
    expect(stored({ count: 5000 }).map(problemOf)).not.toContainEqual(expect.anything());
  });

  it('rejects as many as are broken, and leaves the others the same', () => {
    const broken = stored({ count: 1000, broken: 7 });
    const healthy = stored({ count: 1000 });
    const rejected = broken.filter((doc) => isLegacy(doc) && problemOf(doc) !== undefined);
    expect(rejected).toHaveLength(7);
    expect(broken.filter((doc, index) => hashOf([doc]) !== hashOf([healthy[index] ?? {}]))).toEqual(rejected);
  });

  it('says which field is at fault, and nothing of what it holds', () => {
    expect(stored({ count: 4, broken: 4 }).map(problemOf)).toEqual([
      'neither e-mail nor phone',
      'email cannot be read',
      'phone cannot be read',
      'createdAt cannot be read',
    ]);
    expect(problemOf({ _id: 1, email: 'a@b.test', fullName: 7 })).toBe('the name cannot be read');
  });

  it('gives every customer the one shape', () => {
    for (const doc of stored({ count: 2000 }).filter(isLegacy)) {
      const customer = toCustomer(doc);
      expect(customer._id).toBe(doc._id);
      expect(customer.email).toSatisfy((email) => email === null || /^[a-z0-9.]+@[a-z.]+$/.test(email));
      expect(customer.phone).toSatisfy((phone) => phone === null || /^(\+\d{11,12}|\d{7})$/.test(phone));
      for (const date of [customer.createdAt, customer.lastContactAt, customer.birthday])
        expect(date).toSatisfy((it) => it === null || (it.getTime() > Date.UTC(1931) && it.getTime() < Date.UTC(2027)));
      expect(customer.tags.every((tag) => tag === tag.trim().toLowerCase())).toBe(true);
      expect(customer.active).toBeTypeOf('boolean');
      expect(Object.values(customer)).not.toContain(undefined);
      for (const field of ['fullName', 'firstName', 'lastName', 'balance', 'legacyFax'])
        expect(customer).not.toHaveProperty(field);
    }
  });

  it('changes nothing in a customer that has the new shape', () => {
    for (const doc of stored({ count: 1000 })) {
      const customer = isLegacy(doc) ? toCustomer(doc) : doc;
      expect(toCustomer(deepFreeze(customer))).toEqual(customer);
    }
  });
});

describe('the readers of single fields', () => {
  it.each([
    [' Ada.Lovelace@Example.COM\t', 'ada.lovelace@example.com'],
    ['MailTo:Ada@example.com', 'ada@example.com'],
    ['', null],
    ['N/A', null],
    [undefined, null],
    ['see business card', undefined],
    [42, undefined],
  ])('reads the e-mail %j as %j', (value, email) => {
    expect(toEmail(value)).toBe(email);
  });

  it.each([
    ['(555) 555-0100', { number: '+15555550100' }],
    ['1-555-555-0100', { number: '+15555550100' }],
    [5555550100, { number: '+15555550100' }],
    ['555.0100', { number: '5550100' }],
    [5550100, { number: '5550100' }],
    ['555.555.0100 ext. 12', { number: '+15555550100', extension: '12' }],
    ['555-555-0100 x12', { number: '+15555550100', extension: '12' }],
    ['+351 900 123 456', { number: '+351900123456' }],
    ['00351900123456', { number: '+351900123456' }],
    ['900 123 456', { number: '+351900123456' }],
    ['tel:+44 7700 900123', { number: '+447700900123' }],
    [null, null],
    ['ask Maria', undefined],
    ['12', undefined],
  ])('reads the phone %j as %j', (value, phone) => {
    expect(toPhone(value)).toEqual(phone);
    if (phone) expect(toPhone(phone.number)).toEqual({ number: phone.number });
  });

  it.each([
    ['2019-03-03T14:05:06.7Z', '2019-03-03T14:05:06.700Z'],
    ['2019-03-03T14:05:06+01:00', '2019-03-03T13:05:06.000Z'],
    ['2019-03-03T14:05-03:30', '2019-03-03T17:35:00.000Z'],
    ['2019-03-03 14:05:06', '2019-03-03T14:05:06.000Z'],
    ['2019-03-03', '2019-03-03T00:00:00.000Z'],
    ['03/12/2019', '2019-12-03T00:00:00.000Z'],
    ['Mar 3, 2019', '2019-03-03T00:00:00.000Z'],
    [1551571200, '2019-03-03T00:00:00.000Z'],
    [1551571200000, '2019-03-03T00:00:00.000Z'],
    ['1551571200', '2019-03-03T00:00:00.000Z'],
    ['0000-00-00', null],
    ['', null],
    ['31/02/2015', undefined],
    ['Foo 3, 2019', undefined],
    ['2019-13-01', undefined],
    ['2019-03-03T25:00', undefined],
    ['yesterday', undefined],
    [-1, undefined],
    [true, undefined],
  ])('reads the date %j as %j', (value, iso) => {
    const date = toDate(value);
    expect(date ? date.toISOString() : date).toBe(iso);
  });

  it.each([
    [{ fullName: 'Ada Lovelace' }, { first: 'Ada', last: 'Lovelace' }],
    [{ fullName: ' Ada  King  Lovelace ' }, { first: 'Ada King', last: 'Lovelace' }],
    [{ fullName: 'Lovelace, Ada' }, { first: 'Ada', last: 'Lovelace' }],
    [{ fullName: 'Lovelace' }, { first: '', last: 'Lovelace' }],
    [
      { firstName: 'Ada ', lastName: null },
      { first: 'Ada', last: '' },
    ],
    [{ fullName: null }, null],
    [{ fullName: 7 }, undefined],
  ])('reads the name %j as %j', (fields, name) => {
    expect(toName(fields)).toEqual(name);
  });

  it.each([
    [
      '1 Old Road, Lisboa, 1100-001, Portugal',
      { street: '1 Old Road', city: 'Lisboa', postalCode: '1100-001', country: 'Portugal' },
    ],
    ['1 Old Road\nLisboa\n', { street: '1 Old Road\nLisboa' }],
    [
      { line1: '1 Old Road', town: 'Lisboa', zip: '1100', geo: { lat: 1 } },
      { street: '1 Old Road', city: 'Lisboa', postalCode: '1100', geo: { lat: 1 } },
    ],
    [null, null],
    [['1 Old Road'], undefined],
    [new BSON.ObjectId(), undefined],
    [7, undefined],
  ])('reads the address %j as %j', (value, address) => {
    expect(toAddress(value)).toEqual(address);
  });

  it.each([
    ['vip, late payer,VIP', ['vip', 'late payer']],
    ['vip;press;', ['vip', 'press']],
    [['Vip', ' vip '], ['vip']],
    [undefined, []],
    [[1], undefined],
    [7, undefined],
  ])('reads the tags %j as %j', (value, tags) => {
    expect(toTags(value)).toEqual(tags);
  });

  it.each([
    [true, true],
    [1, true],
    [' Yes', true],
    [null, true],
    ['N', false],
    [0, false],
    ['perhaps', undefined],
  ])('reads the flag %j as %j', (value, flag) => {
    expect(toFlag(value)).toBe(flag);
  });
});

/** One contact, from each of the three collections that people are in. What nobody wrote down is not there. */
import { toEmail } from './email.js';
import { type PersonName, toName } from './person-name.js';
import { toPhone } from './phone.js';

export type Contact = {
  name?: PersonName;
  email?: string;
  phone?: string;
  company?: string;
  city?: string;
  tags?: string[];
  firstSeenAt?: Date;
  fair?: string;
  score?: number;
};

export type Client = { fullName?: string; mail?: string; tel?: string; firm?: string; city?: string; since?: Date };
export type Lead = { name?: string; email?: string; mobile?: string; fair?: string; score?: number; metAt?: Date };
export type ShopCustomer = {
  firstName?: string;
  lastName?: string;
  email?: string;
  phone?: string;
  address?: { city?: string };
  tags?: string[];
  createdAt?: Date;
};

type Read = { [Field in keyof Contact]?: Contact[Field] | null | undefined };

const given = (read: Read): Contact =>
  Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined && value !== null));

const reach = (email: unknown, phone: unknown): Read => ({ email: toEmail(email), phone: toPhone(phone)?.number });

export const fromCustomer = ({ firstName, lastName, email, phone, address, tags, createdAt }: ShopCustomer): Contact =>
  given({
    name: toName({ firstName, lastName }),
    ...reach(email, phone),
    city: address?.city,
    tags,
    firstSeenAt: createdAt,
  });

export const fromClient = ({ fullName, mail, tel, firm, city, since }: Client): Contact =>
  given({ name: toName({ fullName }), ...reach(mail, tel), company: firm, city, firstSeenAt: since });

export const fromLead = ({ name, email, mobile, fair, score, metAt }: Lead): Contact =>
  given({ name: toName({ firstName: name }), ...reach(email, mobile), fair, score, firstSeenAt: metAt });

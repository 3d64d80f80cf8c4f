import { type Contact, type Presence } from './wire';

// My contacts and who of them is online.
export class People {
  readonly contacts = new Map<string, Contact>();
  readonly presence = new Map<string, Presence>();

  setContacts(list: Contact[]): void {
    this.contacts.clear();
    this.addContacts(list);
  }
  addContacts(list: Contact[]): void {
    for (const contact of list) {
      if (contact.state === 'none' && !contact.blocked) this.contacts.delete(contact.user);
      else this.contacts.set(contact.user, contact);
      if (contact.state !== 'accepted') this.presence.delete(contact.user);
    }
  }
  // `whole`: who isn't in the list isn't known.
  setPresence(list: Presence[], whole = false): void {
    if (whole) this.presence.clear();
    for (const one of list) this.presence.set(one.user, one);
  }
  // Nobody is told anything while the connection is away.
  forgetPresence(): void {
    this.presence.clear();
  }

  status(user: string): 'online' | 'away' | 'offline' | 'unknown' {
    const presence = this.presence.get(user);
    if (!presence) return 'unknown';
    if (!presence.online) return 'offline';
    return presence.away ? 'away' : 'online';
  }
}

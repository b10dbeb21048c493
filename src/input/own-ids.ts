/** Ids of messages that the host itself sends, which no message of a client may have: each id is taken once. */
export const OWN_IDS = 'x-optio-';

/** The message that asks for another answer than that of a turn. */
export const correctionId = (attempt: number, turnId: string): string =>
  `${OWN_IDS}output-${attempt}-${turnId}`;

/** What such an id tells; null: it is another's. */
export function correctionOf(messageId: string): { attempt: number; turnId: string } | null {
  const [, attempt, turnId] = CORRECTION.exec(messageId) ?? [];
  return attempt === undefined || turnId === undefined ? null : { attempt: Number(attempt), turnId };
}

const CORRECTION = new RegExp(`^${OWN_IDS}output-(\\d+)-(.+)$`);

const OTHERS = /^(?:prompt|kickoff|resumed|(?:answer|refused)-.*)$/;

export const isOwnId = (messageId: string): boolean =>
  messageId.startsWith(OWN_IDS) || OTHERS.test(messageId);

/** Ids of messages that the host itself sends, which no message of a client may have: each id is taken once. */
export const OWN_IDS = 'x-optio-';

const OTHERS = /^(?:prompt|kickoff|resumed|(?:answer|refused)-.*)$/;

export const isOwnId = (messageId: string): boolean =>
  messageId.startsWith(OWN_IDS) || OTHERS.test(messageId);

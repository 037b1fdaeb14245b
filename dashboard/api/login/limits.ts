/**
 * Bounds of log-in.
 */

/**
 * A browser sends a cookie of 4,096 bytes; name and attributes take some of it. As base64 it holds 2,800
 * bytes of claims: beside the person some 60 groups of ~36 characters, of those that the mapping names.
 */
export const cookieBytes = 3_800;
/** From the redirect to the provider until its answer; people look for their second factor. */
export const attemptMs = 600_000;
/** The provider answers discovery, token and userinfo within this. */
export const providerSeconds = 10;
/** How long a provider's failed discovery is remembered, so that a page reload is no load on it. */
export const discoveryRetryMs = 5_000;

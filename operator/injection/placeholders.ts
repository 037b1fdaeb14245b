/**
 * What generated files of the chart say instead of names that only a release knows. The chart's templates
 * put them in.
 */
export const operatorServicePlaceholder = "SERVICE_NAME";
export const operatorNamespacePlaceholder = "SERVICE_NAMESPACE";
export const operatorAccountPlaceholder = "SERVICE_ACCOUNT";

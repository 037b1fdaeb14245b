/**
 * What generated files of the chart say instead of names that only a release knows. The chart's templates
 * put them in.
 */
export const operatorServicePlaceholder = "OPERATOR_SERVICE";
export const operatorNamespacePlaceholder = "OPERATOR_NAMESPACE";
export const operatorAccountPlaceholder = "OPERATOR_ACCOUNT";

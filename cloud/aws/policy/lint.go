package policy

var lintRules = map[Code]rule{}

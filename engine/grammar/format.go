package grammar

// hardFormats are the formats of the standard that are not enforced, and refused.
var hardFormats = []string{"idn-email", "idn-hostname"}

// formats are the string formats that are enforced, as patterns of the whole string.
// Dates know the lengths of months and leap years, and no year 0, which many readers refuse; leap seconds come at
// 23:59:60 UTC, written with an offset of whole hours.
var formats = map[string]string{
	"date-time": dateRE + `[Tt](` + clockRE + `([Zz]|[+-]` + zoneRE + `)|` + leapSecondRE + `)`,
	"date":      dateRE,
	"time":      `(` + clockRE + `([Zz]|[+-]` + zoneRE + `)|` + leapSecondRE + `)`,
	"duration":  `P(([0-9]+W)|([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)(T` + spanRE + `)?|T` + spanRE + `)`,
	"uuid":      `[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}`,
	"ipv4":      octetRE + `(\.` + octetRE + `){3}`,
	"ipv6":      ip6RE,
	"hostname":  labelRE + `(\.` + labelRE + `){0,7}`,
	"email": `(` + atomRE + `(\.` + atomRE + `)*|"([ !#-\[\]-~]|\\[ -~])*")@(` + labelRE + `(\.` + labelRE + `)*|` +
		`\[` + octetRE + `(\.` + octetRE + `){3}\]|\[IPv6:` + ip6RE + `\])`,
	"uri-reference":         `(` + schemeRE + `:` + uriHierRE + `|` + uriRelativeRE + `)` + uriTailRE,
	"iri":                   schemeRE + `:` + iriHierRE + iriTailRE,
	"iri-reference":         `(` + schemeRE + `:` + iriHierRE + `|` + iriRelativeRE + `)` + iriTailRE,
	"uri-template":          `(` + uriCharRE + `|#|[^\x00-\x{9f}]|\{[+#./;?&]?` + templateRE + `(,` + templateRE + `)*\})*`,
	"json-pointer":          `(/([^~/]|~[01])*)*`,
	"relative-json-pointer": `(0|[1-9][0-9]*)(#|(/([^~/]|~[01])*)*)`,
	"uri":                   schemeRE + `:` + uriHierRE + uriTailRE,
}

const (
	leapRE = `(([0-9]{2}(0[48]|[2468][048]|[13579][26]))|((0[48]|[2468][048]|[13579][26])00))`
	dateRE = `(([1-9][0-9]{3}|0([1-9][0-9]{2}|0([1-9][0-9]|0[1-9])))-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|` +
		leapRE + `-02-29)`
	clockRE = `([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?`
	// whole hours away from 23:59:60 UTC
	leapSecondRE = `((23:59:60(\.[0-9]+)?[Zz])|` +
		`(00:59:60(\.[0-9]+)?(\+01|-23)|01:59:60(\.[0-9]+)?(\+02|-22)|02:59:60(\.[0-9]+)?(\+03|-21)|03:59:60(\.[0-9]+)?(\+04|-20)|` +
		`04:59:60(\.[0-9]+)?(\+05|-19)|05:59:60(\.[0-9]+)?(\+06|-18)|06:59:60(\.[0-9]+)?(\+07|-17)|07:59:60(\.[0-9]+)?(\+08|-16)|` +
		`08:59:60(\.[0-9]+)?(\+09|-15)|09:59:60(\.[0-9]+)?(\+10|-14)|10:59:60(\.[0-9]+)?(\+11|-13)|11:59:60(\.[0-9]+)?(\+12|-12)|` +
		`12:59:60(\.[0-9]+)?(\+13|-11)|13:59:60(\.[0-9]+)?(\+14|-10)|14:59:60(\.[0-9]+)?(\+15|-09)|15:59:60(\.[0-9]+)?(\+16|-08)|` +
		`16:59:60(\.[0-9]+)?(\+17|-07)|17:59:60(\.[0-9]+)?(\+18|-06)|18:59:60(\.[0-9]+)?(\+19|-05)|19:59:60(\.[0-9]+)?(\+20|-04)|` +
		`20:59:60(\.[0-9]+)?(\+21|-03)|21:59:60(\.[0-9]+)?(\+22|-02)|22:59:60(\.[0-9]+)?(\+23|-01)|23:59:60(\.[0-9]+)?[+-]00):00)`
	zoneRE     = `([01][0-9]|2[0-3]):[0-5][0-9]`
	spanRE     = `([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)`
	octetRE    = `(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])`
	hexRE      = `[0-9A-Fa-f]{1,4}`
	labelRE    = `[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?`
	atomRE     = `[A-Za-z0-9!#$%&'*+/=?^_{|}~\x60-]+`
	uriCharRE  = `[A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2}`
	schemeRE   = `[A-Za-z][A-Za-z0-9+.-]*`
	templateRE = `([A-Za-z0-9_]|%[0-9A-Fa-f]{2})([A-Za-z0-9_.]|%[0-9A-Fa-f]{2})*(:[1-9][0-9]{0,3}|\*)?`
	ls32RE     = `(` + hexRE + `:` + hexRE + `|` + octetRE + `(\.` + octetRE + `){3})`
	ip6RE      = `((` + hexRE + `:){6}` + ls32RE + `|::(` + hexRE + `:){5}` + ls32RE + `|(` + hexRE + `)?::(` + hexRE + `:){4}` + ls32RE +
		`|((` + hexRE + `:){0,1}` + hexRE + `)?::(` + hexRE + `:){3}` + ls32RE + `|((` + hexRE + `:){0,2}` + hexRE + `)?::(` + hexRE + `:){2}` + ls32RE +
		`|((` + hexRE + `:){0,3}` + hexRE + `)?::` + hexRE + `:` + ls32RE + `|((` + hexRE + `:){0,4}` + hexRE + `)?::` + ls32RE +
		`|((` + hexRE + `:){0,5}` + hexRE + `)?::` + hexRE + `|((` + hexRE + `:){0,6}` + hexRE + `)?::)`

	// RFC 3986: a name of a host, a segment's characters, a first segment's without a
	// colon, what follows a scheme, a reference without one, and a query and fragment.
	// RFC 3987 adds characters.
	nameRE        = `([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}`
	pathRE        = `([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}`
	segmentRE     = `([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}`
	noColonRE     = `([A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2}`
	userRE        = `([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2}`
	queryRE       = `([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2}`
	literalRE     = `\[(` + ip6RE + `|[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]`
	uriHostRE     = `//(` + userRE + `)*@)?(` + nameRE + `)*|` + literalRE + `)(:[0-9]*)?(/` + pathRE + `)*)?`
	uriHierRE     = `(` + uriHostRE + `|/(` + segmentRE + `)` + pathRE + `)*)?|(` + segmentRE + `)` + pathRE + `)*)?)`
	uriRelativeRE = `(` + uriHostRE + `|/(` + segmentRE + `)` + pathRE + `)*)?|(` + noColonRE + `)+(/` + pathRE + `)*)?)?)`
	uriTailRE     = `(\?` + queryRE + `)*)?(#` + queryRE + `)*)?`
	ucsRE         = `|[\x{a0}-\x{d7ff}\x{f900}-\x{fdcf}\x{fdf0}-\x{ffef}\x{10000}-\x{1fffd}\x{20000}-\x{2fffd}\x{30000}-\x{3fffd}\x{40000}-\x{4fffd}` +
		`\x{50000}-\x{5fffd}\x{60000}-\x{6fffd}\x{70000}-\x{7fffd}\x{80000}-\x{8fffd}\x{90000}-\x{9fffd}\x{a0000}-\x{afffd}\x{b0000}-\x{bfffd}` +
		`\x{c0000}-\x{cfffd}\x{d0000}-\x{dfffd}\x{e1000}-\x{efffd}]`
	privateRE     = `|[\x{e000}-\x{f8ff}\x{f0000}-\x{ffffd}\x{100000}-\x{10fffd}]`
	iriHostRE     = `//(` + userRE + ucsRE + `)*@)?(` + nameRE + ucsRE + `)*|` + literalRE + `)(:[0-9]*)?(/` + pathRE + ucsRE + `)*)?`
	iriHierRE     = `(` + iriHostRE + `|/(` + segmentRE + ucsRE + `)` + pathRE + ucsRE + `)*)?|(` + segmentRE + ucsRE + `)` + pathRE + ucsRE + `)*)?)`
	iriRelativeRE = `(` + iriHostRE + `|/(` + segmentRE + ucsRE + `)` + pathRE + ucsRE + `)*)?|(` + noColonRE + ucsRE + `)+(/` + pathRE + ucsRE + `)*)?)?)`
	iriTailRE     = `(\?` + queryRE + ucsRE + privateRE + `)*)?(#` + queryRE + ucsRE + `)*)?`
)

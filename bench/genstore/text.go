package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

func vatID(i int) string { return "v" + strconv.Itoa(i+1) }

var (
	words = strings.Fields(`brand issuer purse payment amount offer wallet invitation proposal vault manager collateral price
		oracle round numerator denominator timer params electorate question counter instance contract seat timestamp storage
		published children channel packet anchor auction bidder duration frequency`)
	methods = strings.Fields("deposit withdraw getAmountOf executeOffer getUpdateSince setValue makeChildNode wake pushPrice reallocate")
)

// texts makes what stands in items and values: fragments that were made once, with numbers that differ each time, so that it packs about as
// well as a chain's and costs little more than copying.
type texts struct {
	rng      *rand.Rand
	syscalls [][]string // pieces; a number comes between two
	bodies   [][]string // the same for values of kvStore
}

func newTexts(rng *rand.Rand) *texts {
	t := &texts{rng: rng}
	for range 600 {
		t.syscalls = append(t.syscalls, strings.Split(t.syscall(), "#"))
		t.bodies = append(t.bodies, strings.Split(t.body(1+rng.IntN(2)), "#"))
	}
	return t
}

func (t *texts) word() string { return words[t.rng.IntN(len(words))] }

// body is capdata with # for numbers.
func (t *texts) body(members int) string {
	var b strings.Builder
	b.WriteString(`{"body":"%{`)
	for i := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		switch t.rng.IntN(4) {
		case 0:
			fmt.Fprintf(&b, `\"%s\":\"+#\"`, t.word())
		case 1:
			fmt.Fprintf(&b, `\"%s\":\"$%d.Alleged: %s %s\"`, t.word(), t.rng.IntN(4), t.word(), t.word())
		case 2:
			fmt.Fprintf(&b, `\"%s\":{\"denominator\":{\"brand\":\"$0\",\"value\":\"+1000000\"},\"numerator\":{\"value\":\"+#\"}}`, t.word())
		default:
			fmt.Fprintf(&b, `\"%s\":\"%s %s é\"`, t.word(), t.word(), t.word())
		}
	}
	b.WriteString(`}","slots":["o+d#"]}`)
	return b.String()
}

// syscall is one of an item's, with # for numbers.
func (t *texts) syscall() string {
	body := t.body(1 + t.rng.IntN(3))
	switch t.rng.IntN(5) {
	case 0:
		return fmt.Sprintf(`{"s":["vatstoreGet","vom.o+d%d/#"],"r":["ok",%q]}`, t.rng.IntN(30), `{"state":`+body+`}`)
	case 1:
		return fmt.Sprintf(`{"s":["vatstoreSet","vc.%d.r#:o-%d",%q],"r":["ok",null]}`, t.rng.IntN(40), t.rng.IntN(1000), body)
	case 2:
		return fmt.Sprintf(`{"s":["send","o-#",{"methargs":%s,"result":"p+#"}],"r":["ok",null]}`, body)
	case 3:
		return fmt.Sprintf(`{"s":["resolve",[["p-#",false,%s]]],"r":["ok",null]}`, body)
	default:
		return `{"s":["subscribe","p+#"],"r":["ok",null]}`
	}
}

// fill appends pieces with numbers between them.
func (t *texts) fill(dst []byte, pieces []string) []byte {
	for i, p := range pieces {
		if i > 0 {
			dst = strconv.AppendUint(dst, uint64(t.rng.Uint32N(1e6)), 10)
		}
		dst = append(dst, p...)
	}
	return dst
}

// item appends a delivery of about size bytes.
func (t *texts) item(dst []byte, size int) []byte {
	begin := len(dst)
	dst = append(dst, `{"d":["message","o+`...)
	dst = strconv.AppendUint(dst, uint64(t.rng.Uint32N(5000)), 10)
	dst = append(dst, `",{"methargs":{"body":"#[\"`...)
	dst = append(dst, methods[t.rng.IntN(len(methods))]...)
	dst = append(dst, `\",[]]","slots":[]},"result":"p-`...)
	dst = strconv.AppendUint(dst, uint64(t.rng.Uint32N(1e6)), 10)
	dst = append(dst, `"}],"sc":[`...)
	for n := 0; len(dst)-begin < size-30; n++ {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = t.fill(dst, t.syscalls[t.rng.IntN(len(t.syscalls))])
	}
	return append(dst, `],"r":{"status":"ok"}}`...)
}

// value appends a value of kvStore.
func (t *texts) value(dst []byte) []byte { return t.fill(dst, t.bodies[t.rng.IntN(len(t.bodies))]) }
